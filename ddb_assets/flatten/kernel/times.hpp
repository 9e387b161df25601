// ISO 8601 texts and numbers since 1970 as microseconds, and the form in which a text was written.
#pragma once

#include <cstdint>

#include "text.hpp"

namespace ddb {

// The form of a time's text, as `timestamps.form` names them: `date`, `T.3Z`, ` .0`, `T.6+00:00`.
struct Form {
    enum Kind : uint8_t { NONE, DATE, TIME, SECONDS, MILLISECONDS, MICROSECONDS } kind = NONE;
    char joint = 0;      // T or a blank
    uint8_t digits = 0;  // of a second
    uint8_t zone = 0;    // 0: none, 1: Z, 2: +00:00

    bool operator==(const Form& other) const {
        return kind == other.kind && joint == other.joint && digits == other.digits && zone == other.zone;
    }
};

struct Time {
    Form form;         // NONE for a text of another form, of which `micros` is the instant
    bool zoned = false;
    int64_t days = 0;  // since 1970
    int64_t micros = 0;
};

constexpr int64_t DAY_MICROS = 86400000000LL;

inline int digits_of(const char* at, int count) {
    int value = 0;
    for (int place = 0; place < count; ++place) {
        if (at[place] < '0' || at[place] > '9') return -1;
        value = value * 10 + (at[place] - '0');
    }
    return value;
}

// Days since 1970 of a day of the Gregorian calendar (the algorithm counts in eras of 400 years from 0000-03-01).
inline int64_t days_since_1970(int year, int month, int day) {
    year -= month <= 2;
    const int era = year / 400;
    const int of_era = year - era * 400;
    const int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097LL + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

inline bool is_day(int year, int month, int day) {
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || day < 1) return false;
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= lengths[month - 1] + (month == 2 && leap ? 1 : 0);
}

// A date or time. `form` is set for years 1000 to 2999 and UTC or no zone; `loose` also takes other years, offsets, minutes
// only, and more than six digits of a second, of which the rest is cut.
inline bool read_time(View text, bool loose, Time& time) {
    const char* at = text.data();
    const char* end = at + text.size();
    if (text.size() < 10 || at[4] != '-' || at[7] != '-') return false;
    const int year = digits_of(at, 4), month = digits_of(at + 5, 2), day = digits_of(at + 8, 2);
    if (year < 1000 || month < 0 || day < 0 || !is_day(year, month, day)) return false;
    const bool usual = year < 3000;
    time = Time();
    time.days = days_since_1970(year, month, day);
    time.micros = time.days * DAY_MICROS;
    if (text.size() == 10) {
        time.form.kind = usual ? Form::DATE : Form::NONE;
        return usual;
    }
    at += 10;
    if (*at != 'T' && *at != ' ') return false;
    const char joint = *at++;
    if (end - at < 5 || at[2] != ':') return false;
    const int hour = digits_of(at, 2), minute = digits_of(at + 3, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return false;
    at += 5;
    int second = 0;
    bool seconds = false;
    if (end - at >= 3 && *at == ':') {
        second = digits_of(at + 1, 2);
        if (second < 0 || second > 59) return false;
        seconds = true;
        at += 3;
    }
    int digits = 0;
    char point = 0;
    int64_t fraction = 0;
    if (at < end && (*at == '.' || *at == ',')) {
        if (!seconds) return false;
        point = *at++;
        while (at < end && *at >= '0' && *at <= '9') {
            if (digits < 6) fraction = fraction * 10 + (*at - '0');
            ++digits;
            ++at;
        }
        if (digits == 0 || digits > 12) return false;
        for (int place = digits; place < 6; ++place) fraction *= 10;
    }
    uint8_t zone = 0;
    int64_t offset = 0;
    bool exact = usual && seconds && digits <= 6 && point != ',';
    if (at < end) {
        const View rest(at, static_cast<size_t>(end - at));
        time.zoned = true;
        if (rest == "Z") {
            zone = 1;
        } else if (rest == "+00:00") {
            zone = 2;
        } else if (rest == "z") {
            exact = false;
        } else {
            exact = false;
            if ((rest[0] != '+' && rest[0] != '-') || rest.size() < 3) return false;
            const int hours = digits_of(rest.data() + 1, 2);
            int minutes = 0;
            if (rest.size() == 5) {
                minutes = digits_of(rest.data() + 3, 2);
            } else if (rest.size() == 6 && rest[3] == ':') {
                minutes = digits_of(rest.data() + 4, 2);
            } else if (rest.size() != 3) {
                return false;
            }
            if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
            offset = (hours * 60LL + minutes) * 60000000LL;
            if (rest[0] == '-') offset = -offset;
        }
    }
    if (!exact && !loose) return false;
    time.micros += ((hour * 60LL + minute) * 60LL + second) * 1000000LL + fraction - offset;
    if (exact) {
        time.form.kind = Form::TIME;
        time.form.joint = joint;
        time.form.digits = static_cast<uint8_t>(digits);
        time.form.zone = zone;
    }
    return true;
}

// A whole number as a time, if its magnitude is that of the unit (`timestamps._EPOCHS`).
inline bool epoch_micros(int64_t number, Form::Kind unit, int64_t& micros) {
    int64_t least, factor;
    switch (unit) {
        case Form::SECONDS: least = 100000000LL; factor = 1000000; break;
        case Form::MILLISECONDS: least = 100000000000LL; factor = 1000; break;
        case Form::MICROSECONDS: least = 100000000000000LL; factor = 1; break;
        default: return false;
    }
    if (number < least || number >= least * 1000) return false;
    micros = number * factor;
    return true;
}

// The same for any of the units: their ranges do not overlap.
inline bool epoch_micros(int64_t number, int64_t& micros) {
    return epoch_micros(number, Form::SECONDS, micros) || epoch_micros(number, Form::MILLISECONDS, micros) ||
           epoch_micros(number, Form::MICROSECONDS, micros);
}

}  // namespace ddb
