// SHA-256 (FIPS 180-4) and HMAC (RFC 2104), as 64 hexadecimal digits.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "text.hpp"

namespace ddb {

class Sha256 {
  public:
    void add(View bytes) {
        size_ += bytes.size();
        const unsigned char* at = reinterpret_cast<const unsigned char*>(bytes.data());
        size_t left = bytes.size();
        if (held_ != 0) {
            const size_t taken = left < 64 - held_ ? left : 64 - held_;
            std::memcpy(block_ + held_, at, taken);
            held_ += taken;
            at += taken;
            left -= taken;
            if (held_ < 64) return;
            mix(block_);
            held_ = 0;
        }
        for (; left >= 64; left -= 64, at += 64) mix(at);
        if (left != 0) std::memcpy(block_, at, left);
        held_ = left;
    }

    void finish(unsigned char (&digest)[32]) {
        const uint64_t bits = size_ * 8;
        unsigned char tail[72] = {0x80};
        const size_t padding = (held_ < 56 ? 56 : 120) - held_;
        for (int place = 0; place < 8; ++place) tail[padding + static_cast<size_t>(place)] = static_cast<unsigned char>(bits >> (56 - 8 * place));
        add(View(reinterpret_cast<const char*>(tail), padding + 8));
        for (int word = 0; word < 8; ++word) {
            for (int place = 0; place < 4; ++place) digest[word * 4 + place] = static_cast<unsigned char>(state_[word] >> (24 - 8 * place));
        }
    }

  private:
    static uint32_t turned(uint32_t word, int by) { return (word >> by) | (word << (32 - by)); }

    void mix(const unsigned char* block) {
        static const uint32_t constants[64] = {
            0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
            0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
            0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
            0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
            0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
            0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
        uint32_t words[64];
        for (int word = 0; word < 16; ++word) {
            words[word] = static_cast<uint32_t>(block[word * 4]) << 24 | static_cast<uint32_t>(block[word * 4 + 1]) << 16 |
                          static_cast<uint32_t>(block[word * 4 + 2]) << 8 | block[word * 4 + 3];
        }
        for (int word = 16; word < 64; ++word) {
            const uint32_t a = words[word - 15], b = words[word - 2];
            words[word] = words[word - 16] + (turned(a, 7) ^ turned(a, 18) ^ (a >> 3)) + words[word - 7] + (turned(b, 17) ^ turned(b, 19) ^ (b >> 10));
        }
        uint32_t a = state_[0], b = state_[1], c = state_[2], d = state_[3], e = state_[4], f = state_[5], g = state_[6], h = state_[7];
        for (int round = 0; round < 64; ++round) {
            const uint32_t first = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + constants[round] + words[round];
            const uint32_t second = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g; g = f; f = e; e = d + first; d = c; c = b; b = a; a = first + second;
        }
        state_[0] += a; state_[1] += b; state_[2] += c; state_[3] += d; state_[4] += e; state_[5] += f; state_[6] += g; state_[7] += h;
    }

    uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    unsigned char block_[64];
    size_t held_ = 0;
    uint64_t size_ = 0;
};

inline std::string hexadecimal(const unsigned char (&digest)[32]) {
    static const char digits[] = "0123456789abcdef";
    std::string text;
    for (const unsigned char byte : digest) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

inline std::string sha256(View text) {
    Sha256 hash;
    unsigned char digest[32];
    hash.add(text);
    hash.finish(digest);
    return hexadecimal(digest);
}

inline std::string hmac_sha256(View secret, View text) {
    unsigned char key[64] = {};
    if (secret.size() > 64) {
        Sha256 hash;
        unsigned char digest[32];
        hash.add(secret);
        hash.finish(digest);
        std::memcpy(key, digest, 32);
    } else {
        std::memcpy(key, secret.data(), secret.size());
    }
    char inner[64], outer[64];
    for (int place = 0; place < 64; ++place) {
        inner[place] = static_cast<char>(key[place] ^ 0x36);
        outer[place] = static_cast<char>(key[place] ^ 0x5c);
    }
    unsigned char digest[32];
    Sha256 first, second;
    first.add(View(inner, 64));
    first.add(text);
    first.finish(digest);
    second.add(View(outer, 64));
    second.add(View(reinterpret_cast<const char*>(digest), 32));
    second.finish(digest);
    return hexadecimal(digest);
}

}  // namespace ddb
