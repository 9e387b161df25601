// JSON text: strings, white space, UTF-8. Nothing here reads at or past `end`.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#if defined(__SSE2__) && !defined(DDB_ASSETS_PORTABLE)
#include <emmintrin.h>
#define DDB_ASSETS_SSE2 1
#elif defined(__ARM_NEON) && defined(__aarch64__) && !defined(DDB_ASSETS_PORTABLE)
#include <arm_neon.h>
#define DDB_ASSETS_NEON 1
#endif

namespace ddb {

using View = std::string_view;

#define DDB_ASSETS_INLINE inline __attribute__((always_inline))

// Whether two texts of this size are equal. Most are short, and for those a call of memcmp costs more than the comparison.
DDB_ASSETS_INLINE bool same_bytes(const char* a, const char* b, size_t size) {
    if (size < 8) return std::memcmp(a, b, size) == 0;
    uint64_t one, other;
    for (size_t at = 0; at + 8 < size; at += 8) {
        std::memcpy(&one, a + at, 8);
        std::memcpy(&other, b + at, 8);
        if (one != other) return false;
    }
    std::memcpy(&one, a + size - 8, 8);
    std::memcpy(&other, b + size - 8, 8);
    return one == other;
}

// Copies a text, most often a short one.
DDB_ASSETS_INLINE void copy_bytes(char* to, const char* from, size_t size) {
    if (size > 32) {
        std::memcpy(to, from, size);
    } else if (size >= 16) {
        char head[16], tail[16];
        std::memcpy(head, from, 16);
        std::memcpy(tail, from + size - 16, 16);
        std::memcpy(to, head, 16);
        std::memcpy(to + size - 16, tail, 16);
    } else if (size >= 8) {
        uint64_t head, tail;
        std::memcpy(&head, from, 8);
        std::memcpy(&tail, from + size - 8, 8);
        std::memcpy(to, &head, 8);
        std::memcpy(to + size - 8, &tail, 8);
    } else if (size >= 4) {
        uint32_t head, tail;
        std::memcpy(&head, from, 4);
        std::memcpy(&tail, from + size - 4, 4);
        std::memcpy(to, &head, 4);
        std::memcpy(to + size - 4, &tail, 4);
    } else {
        for (size_t at = 0; at < size; ++at) to[at] = from[at];
    }
}

// The first byte that a string of JSON cannot hold as it is: a quote, a backslash, a control character.
DDB_ASSETS_INLINE const char* string_stop(const char* at, const char* end) {
#if defined(DDB_ASSETS_SSE2)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1f);
    while (end - at >= 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes);
        const __m128i found = _mm_or_si128(low, _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, slash)));
        const int mask = _mm_movemask_epi8(found);
        if (mask != 0) return at + __builtin_ctz(static_cast<unsigned>(mask));
        at += 16;
    }
#elif defined(DDB_ASSETS_NEON)
    const uint8x16_t quote = vdupq_n_u8('"'), slash = vdupq_n_u8('\\'), control = vdupq_n_u8(0x1f);
    while (end - at >= 16) {
        const uint8x16_t bytes = vld1q_u8(reinterpret_cast<const uint8_t*>(at));
        const uint8x16_t found = vorrq_u8(vcleq_u8(bytes, control), vorrq_u8(vceqq_u8(bytes, quote), vceqq_u8(bytes, slash)));
        const uint64_t mask = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(found), 4)), 0);
        if (mask != 0) return at + (__builtin_ctzll(mask) >> 2);
        at += 16;
    }
#endif
    while (at < end) {
        const unsigned char byte = static_cast<unsigned char>(*at);
        if (byte == '"' || byte == '\\' || byte < 0x20) return at;
        ++at;
    }
    return end;
}

inline const char* skip_blanks(const char* at, const char* end) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r')) ++at;
    return at;
}

// Whether these bytes are UTF-8 without surrogates and overlong forms (Unicode 15, table 3-7).
inline bool is_utf8(const char* begin, const char* end) {
    const unsigned char* at = reinterpret_cast<const unsigned char*>(begin);
    const unsigned char* stop = reinterpret_cast<const unsigned char*>(end);
    while (at < stop) {
#if defined(DDB_ASSETS_SSE2)
        while (stop - at >= 16) {
            if (_mm_movemask_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))) != 0) break;
            at += 16;
        }
        if (at == stop) return true;
#endif
        const unsigned char lead = *at;
        if (lead < 0x80) {
            ++at;
            continue;
        }
        int more;
        unsigned char least = 0x80, most = 0xbf;
        if (lead >= 0xc2 && lead <= 0xdf) {
            more = 1;
        } else if (lead >= 0xe0 && lead <= 0xef) {
            more = 2;
            if (lead == 0xe0) least = 0xa0;
            if (lead == 0xed) most = 0x9f;
        } else if (lead >= 0xf0 && lead <= 0xf4) {
            more = 3;
            if (lead == 0xf0) least = 0x90;
            if (lead == 0xf4) most = 0x8f;
        } else {
            return false;
        }
        if (stop - at <= more) return false;
        if (at[1] < least || at[1] > most) return false;
        for (int place = 2; place <= more; ++place) {
            if (at[place] < 0x80 || at[place] > 0xbf) return false;
        }
        at += more + 1;
    }
    return true;
}

inline int hex_digit(char byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    return -1;
}

inline void append_utf8(std::string& out, uint32_t point) {
    if (point < 0x80) {
        out += static_cast<char>(point);
    } else if (point < 0x800) {
        out += static_cast<char>(0xc0 | (point >> 6));
        out += static_cast<char>(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        out += static_cast<char>(0xe0 | (point >> 12));
        out += static_cast<char>(0x80 | ((point >> 6) & 0x3f));
        out += static_cast<char>(0x80 | (point & 0x3f));
    } else {
        out += static_cast<char>(0xf0 | (point >> 18));
        out += static_cast<char>(0x80 | ((point >> 12) & 0x3f));
        out += static_cast<char>(0x80 | ((point >> 6) & 0x3f));
        out += static_cast<char>(0x80 | (point & 0x3f));
    }
}

// Four hexadecimal digits; -1 for anything else.
inline int32_t hex4(const char* at, const char* end) {
    if (end - at < 4) return -1;
    int32_t value = 0;
    for (int place = 0; place < 4; ++place) {
        const int digit = hex_digit(at[place]);
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

// Reads a string whose opening quote is just before `at`; moves `at` behind the closing one. Without escapes the view is
// of the input, else of `room`, to which the text is appended. False for what is no string, for half a surrogate pair, and
// for U+0000, which no text of Redshift may hold.
inline bool read_escaped(const char*& at, const char* end, const char* stop, std::string& room, View& text);

DDB_ASSETS_INLINE bool read_string(const char*& at, const char* end, std::string& room, View& text) {
    const char* stop = string_stop(at, end);
    if (stop == end) return false;
    if (*stop != '"') return read_escaped(at, end, stop, room, text);
    text = View(at, static_cast<size_t>(stop - at));
    at = stop + 1;
    return true;
}

// The rest of `read_string` for a string with an escape at `stop`.
inline bool read_escaped(const char*& at, const char* end, const char* stop, std::string& room, View& text) {
    const char* begin = at;
    const size_t start = room.size();
    for (;;) {
        room.append(begin, static_cast<size_t>(stop - begin));
        if (stop == end || *stop != '\\') break;
        if (end - stop < 2) return false;
        const char escape = stop[1];
        begin = stop + 2;
        switch (escape) {
            case '"': room += '"'; break;
            case '\\': room += '\\'; break;
            case '/': room += '/'; break;
            case 'b': room += '\b'; break;
            case 'f': room += '\f'; break;
            case 'n': room += '\n'; break;
            case 'r': room += '\r'; break;
            case 't': room += '\t'; break;
            case 'u': {
                const int32_t unit = hex4(begin, end);
                if (unit <= 0) return false;  // not hexadecimal, or U+0000
                begin += 4;
                uint32_t point = static_cast<uint32_t>(unit);
                if (unit >= 0xdc00 && unit <= 0xdfff) return false;
                if (unit >= 0xd800 && unit <= 0xdbff) {
                    if (end - begin < 6 || begin[0] != '\\' || begin[1] != 'u') return false;
                    const int32_t low = hex4(begin + 2, end);
                    if (low < 0xdc00 || low > 0xdfff) return false;
                    begin += 6;
                    point = 0x10000 + ((point - 0xd800) << 10) + (static_cast<uint32_t>(low) - 0xdc00);
                }
                append_utf8(room, point);
                break;
            }
            default: return false;
        }
        stop = string_stop(begin, end);
    }
    if (stop == end || *stop != '"') return false;
    text = View(room.data() + start, room.size() - start);
    at = stop + 1;
    return true;
}

// A string of JSON, with the escapes that orjson writes.
inline void append_quoted(std::string& out, View text) {
    static const char digits[] = "0123456789abcdef";
    out += '"';
    const char* at = text.data();
    const char* end = at + text.size();
    for (;;) {
        const char* stop = string_stop(at, end);
        out.append(at, static_cast<size_t>(stop - at));
        if (stop == end) break;
        switch (*stop) {
            case '"': out += "\\\""; break;
            case '\\': out += "\\\\"; break;
            case '\b': out += "\\b"; break;
            case '\f': out += "\\f"; break;
            case '\n': out += "\\n"; break;
            case '\r': out += "\\r"; break;
            case '\t': out += "\\t"; break;
            default:
                out += "\\u00";
                out += digits[static_cast<unsigned char>(*stop) >> 4];
                out += digits[static_cast<unsigned char>(*stop) & 15];
        }
        at = stop + 1;
    }
    out += '"';
}

}  // namespace ddb
