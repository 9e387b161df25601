// How many names the objects of a line have: the proof that the decoder saw them all. It shares no code with the decoder, and
// works in another way: on bit masks of 64 bytes at a time, one bit per byte, without following the structure.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__) && !defined(DDB_ASSETS_PORTABLE)
#include <emmintrin.h>
#endif

namespace ddb {
namespace keys {

struct Masks {
    uint64_t quotes = 0, slashes = 0, colons = 0, blanks = 0;
};

inline Masks masks_of(const char* bytes) {
    Masks masks;
#if defined(__SSE2__) && !defined(DDB_ASSETS_PORTABLE)
    for (int part = 0; part < 4; ++part) {
        const __m128i some = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16 * part));
        const auto equal = [&](char byte) { return static_cast<uint64_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(some, _mm_set1_epi8(byte)))) << (16 * part); };
        masks.quotes |= equal('"');
        masks.slashes |= equal('\\');
        masks.colons |= equal(':');
        masks.blanks |= equal(' ') | equal('\t') | equal('\r');
    }
#else
    for (int place = 0; place < 64; ++place) {
        const char byte = bytes[place];
        masks.quotes |= static_cast<uint64_t>(byte == '"') << place;
        masks.slashes |= static_cast<uint64_t>(byte == '\\') << place;
        masks.colons |= static_cast<uint64_t>(byte == ':') << place;
        masks.blanks |= static_cast<uint64_t>(byte == ' ' || byte == '\t' || byte == '\r') << place;
    }
#endif
    return masks;
}

// How many bits are set. Without a compiler flag that not every machine allows, the built-in is a call.
inline int64_t ones(uint64_t bits) {
    bits -= (bits >> 1) & 0x5555555555555555ULL;
    bits = (bits & 0x3333333333333333ULL) + ((bits >> 2) & 0x3333333333333333ULL);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
    return static_cast<int64_t>((bits * 0x0101010101010101ULL) >> 56);
}

}  // namespace keys

// A name is a string with a colon behind it; blanks may stand between. The line is JSON; -1 where a string has no end.
inline int64_t count_names(const char* at, const char* end) {
    int64_t names = 0;
    bool escaped = false;    // the first byte of the block follows an odd number of backslashes
    uint64_t inside = 0;     // all ones where the block begins inside a string
    bool closed = false;     // the byte before the block ends a string, or a blank behind one does
    char tail[64];
    while (at < end) {
        const char* bytes = at;
        const size_t left = static_cast<size_t>(end - at);
        if (left < 64) {
            std::memset(tail, 0, sizeof tail);
            std::memcpy(tail, at, left);
            bytes = tail;
        }
        at += left < 64 ? left : 64;
        const keys::Masks found = keys::masks_of(bytes);
        // quotes that no backslash escapes: backslashes are rare, so they are taken one after another
        uint64_t quotes = found.quotes;
        if (found.slashes != 0 || escaped) {
            uint64_t slashes = found.slashes;
            int next = 0;  // the first bit that is not yet decided
            if (escaped) {
                quotes &= ~uint64_t{1};
                slashes &= ~uint64_t{1};
                next = 1;
                escaped = false;
            }
            while (slashes != 0) {
                const int place = __builtin_ctzll(slashes);
                slashes &= slashes - 1;
                if (place < next) continue;
                if (place == 63) {
                    escaped = true;
                } else {
                    quotes &= ~(uint64_t{2} << place);
                    slashes &= ~(uint64_t{2} << place);
                }
                next = place + 2;
            }
        }
        // a bit of `within` says that the byte is in a string, the opening quote included
        uint64_t within = quotes;
        for (int shift = 1; shift < 64; shift *= 2) within ^= within << shift;
        within ^= inside;
        const uint64_t closing = quotes & ~within;
        uint64_t behind = (closing << 1) | static_cast<uint64_t>(closed);
        // blanks between a name and its colon are rare
        for (uint64_t blanks = behind & found.blanks & ~within; blanks != 0; blanks = (blanks << 1) & found.blanks & ~within) behind |= blanks << 1;
        names += keys::ones(behind & found.colons & ~within);
        closed = (closing >> 63) != 0 || ((behind & found.blanks & ~within) >> 63) != 0;
        inside = static_cast<uint64_t>(static_cast<int64_t>(within) >> 63);
    }
    return inside != 0 ? -1 : names;
}

}  // namespace ddb
