// Numbers as DynamoDB writes them, exactly or not at all.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>

#include "text.hpp"

namespace ddb {

constexpr int MAX_DIGITS = 38;

// A number: its canonical text (`attribute_value.number_text`) is an optional minus, `whole` digits, and after a point
// `fraction` digits. `given` digits were written after the point: zeros at the end are not in the canonical text.
struct Number {
    View text;
    bool negative = false;
    View whole;
    View fraction;
    int64_t given = 0;

    int64_t whole_digits() const { return static_cast<int64_t>(whole.size()); }
    int64_t scale() const { return static_cast<int64_t>(fraction.size()); }
};

// Reads digits without an exponent and without zeros before them, at most 38 bytes. False for anything else.
inline bool read_number(View text, Number& number) {
    if (text.empty() || text.size() > MAX_DIGITS) return false;
    const char* at = text.data();
    const char* end = at + text.size();
    number.negative = *at == '-';
    if (number.negative) ++at;
    const char* begin = at;
    while (at < end && *at >= '0' && *at <= '9') ++at;
    number.whole = View(begin, static_cast<size_t>(at - begin));
    if (number.whole.empty() || (number.whole.size() > 1 && *begin == '0')) return false;
    number.text = text;
    number.fraction = View();
    number.given = 0;
    if (at < end) {
        if (*at != '.') return false;
        begin = ++at;
        while (at < end && *at >= '0' && *at <= '9') ++at;
        number.given = at - begin;
        if (at != end || number.given == 0) return false;
        while (at > begin && at[-1] == '0') --at;
        number.fraction = View(begin, static_cast<size_t>(at - begin));
        const char* behind = number.fraction.empty() ? begin - 1 : at;
        number.text = View(text.data(), static_cast<size_t>(behind - text.data()));
    }
    return !(number.negative && number.whole == "0" && number.fraction.empty());
}

inline bool to_int64(const Number& number, int64_t& value) {
    if (!number.fraction.empty() || number.whole.size() > 19) return false;
    uint64_t size = 0;
    for (const char digit : number.whole) size = size * 10 + static_cast<uint64_t>(digit - '0');
    const uint64_t most = static_cast<uint64_t>(INT64_MAX) + (number.negative ? 1 : 0);
    if (size > most) return false;
    value = number.negative ? static_cast<int64_t>(0 - size) : static_cast<int64_t>(size);
    return true;
}

__extension__ typedef __int128 int128;

// The number times ten to the power of `scale`, if it has no more digits than DECIMAL(precision, scale).
inline bool to_decimal(const Number& number, int precision, int scale, int128& value) {
    if (number.scale() > scale) return false;
    const bool zero = number.whole == "0";
    if ((zero ? 0 : number.whole_digits()) > precision - scale) return false;
    unsigned __int128 size = 0;
    for (const char digit : number.whole) size = size * 10 + static_cast<unsigned>(digit - '0');
    for (const char digit : number.fraction) size = size * 10 + static_cast<unsigned>(digit - '0');
    for (int64_t place = number.scale(); place < scale; ++place) size *= 10;
    value = number.negative ? -static_cast<int128>(size) : static_cast<int128>(size);
    return true;
}

// Whether two texts have the same digits, leaving out the point, and zeros at the beginning and at the end.
inline bool same_digits(View a, View b) {
    const auto digits = [](View text, char* room) {
        size_t count = 0;
        for (const char byte : text) {
            if (byte >= '0' && byte <= '9' && (count != 0 || byte != '0')) room[count++] = byte;
        }
        while (count != 0 && room[count - 1] == '0') --count;
        return View(room, count);
    };
    char one[64], other[64];
    return a.size() <= 64 && b.size() <= 64 && digits(a, one) == digits(b, other);
}

// The double nearest to the number, if the shortest text of that double has the number's digits, as `repr` writes it: then
// nothing of the number is lost.
inline bool to_double(const Number& number, double& value) {
#if defined(__cpp_lib_to_chars) && __cpp_lib_to_chars >= 201611L
    const char* end = number.text.data() + number.text.size();
    const auto read = std::from_chars(number.text.data(), end, value);
    if (read.ec != std::errc() || read.ptr != end) return false;
    if (number.whole_digits() + number.scale() <= 15) return true;
    char digits[64];
    const auto written = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific);
    if (written.ec != std::errc()) return false;
    const View shortest(digits, static_cast<size_t>(written.ptr - digits));
    return same_digits(shortest.substr(0, shortest.find('e')), number.text);
#else
    // Both a whole number below 2^53 and a power of ten up to 10^22 are doubles, so their quotient is rounded once.
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (number.whole_digits() + number.scale() > 15) return false;
    double size = 0;
    for (const char digit : number.whole) size = size * 10 + (digit - '0');
    for (const char digit : number.fraction) size = size * 10 + (digit - '0');
    size /= powers[number.scale()];
    value = number.negative ? -size : size;
    return true;
#endif
}

// Whether SUPER keeps every digit: at most 37 before the point, 38 bytes in all.
inline bool fits_super(const Number& number) { return number.whole_digits() <= 37; }

}  // namespace ddb
