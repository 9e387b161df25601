// Padded standard base64 (RFC 4648, section 4) in its canonical form: the unused bits of its end are zero.
#pragma once

#include <cstdint>

#include "buffer.hpp"
#include "text.hpp"

namespace ddb {

struct Base64Values {
    int8_t of[256];
    constexpr Base64Values() : of() {
        for (int byte = 0; byte < 256; ++byte) of[byte] = -1;
        const char* letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (int value = 0; value < 64; ++value) of[static_cast<unsigned char>(letters[value])] = static_cast<int8_t>(value);
    }
};

inline constexpr Base64Values BASE64;

// Appends the bytes. False, with nothing appended, for any other text.
inline bool append_base64(Buffer<char>& out, View text) {
    if (text.size() % 4 != 0) return false;
    const size_t start = out.size();
    const unsigned char* at = reinterpret_cast<const unsigned char*>(text.data());
    size_t left = text.size();
    size_t padding = 0;
    if (left != 0 && text[left - 1] == '=') padding = text[left - 2] == '=' ? 2 : 1;
    unsigned char* to = reinterpret_cast<unsigned char*>(out.grow(left / 4 * 3));
    for (; left != 0; left -= 4, at += 4) {
        const int a = BASE64.of[at[0]], b = BASE64.of[at[1]];
        const bool last = left == 4;
        const int c = last && padding == 2 ? 0 : BASE64.of[at[2]];
        const int d = last && padding >= 1 ? 0 : BASE64.of[at[3]];
        const bool spare = last && ((padding == 2 && (b & 15) != 0) || (padding == 1 && (c & 3) != 0));
        if ((a | b | c | d) < 0 || spare) {
            out.cut_to(start);
            return false;
        }
        *to++ = static_cast<unsigned char>((a << 2) | (b >> 4));
        *to++ = static_cast<unsigned char>((b << 4) | (c >> 2));
        *to++ = static_cast<unsigned char>((c << 6) | d);
    }
    out.cut_to(out.size() - padding);
    return true;
}

inline bool is_base64(View text, Buffer<char>& room) {
    room.cut_to(0);
    return append_base64(room, text);
}

}  // namespace ddb
