// Reads JSON from left to right, counts the names, and keeps why it stopped.
#pragma once

#include <cstdint>
#include <string>

#include "plan.hpp"
#include "text.hpp"

namespace ddb {

// Why a line is handed back. NO_KEY: everything in it is as usual, but it has no key that a row can have.
enum class Reason : uint8_t { NONE, UTF8, JSON, NAME, TWICE, TYPE, VALUE, SIZE, TIME, KEY, DEPTH, COUNT, RECORD, NO_KEY };

// Every reader returns false where the line is not what it reads; `reason_` says why.
class Scanner {
  protected:
    void scan(const char* begin, const char* end) {
        at_ = begin;
        end_ = end;
        keys_ = 0;
        reason_ = Reason::JSON;
    }

    bool fail(Reason reason) {
        reason_ = reason;
        return false;
    }

    DDB_ASSETS_INLINE void blanks() {
        if (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r')) at_ = skip_blanks(at_, end_);
    }

    DDB_ASSETS_INLINE bool open(char what) {
        blanks();
        if (at_ >= end_ || *at_ != what) return false;
        ++at_;
        return true;
    }

    DDB_ASSETS_INLINE bool close(char what) {
        if (!open(what)) return false;
        blanks();
        return true;
    }

    DDB_ASSETS_INLINE bool colon() { return open(':'); }

    bool at_end() {
        return at_ == end_;
    }

    DDB_ASSETS_INLINE bool name_of_member(View& name) {
        if (!open('"')) return false;
        name_room_.clear();
        if (!read_string(at_, end_, name_room_, name)) return false;
        ++keys_;
        return colon();
    }

    DDB_ASSETS_INLINE bool text(View& found) {
        if (!open('"')) return false;
        text_room_.clear();
        return read_string(at_, end_, text_room_, found);
    }

    DDB_ASSETS_INLINE bool literal(View word) {
        blanks();
        if (static_cast<size_t>(end_ - at_) < word.size() || View(at_, word.size()) != word) return false;
        at_ += word.size();
        return true;
    }

    bool boolean(bool& flag) {
        blanks();
        flag = at_ < end_ && *at_ == 't';
        return literal(flag ? "true" : "false");
    }

    // Opens a value: a brace, its type, a colon.
    bool descriptor(int& found) {
        if (!open('{')) return false;
        blanks();
        if (at_ >= end_ || *at_ != '"') return false;
        const char* begin = ++at_;
        while (at_ < end_ && *at_ >= 'A' && *at_ <= 'Z') ++at_;
        if (at_ >= end_ || *at_ != '"') return fail(Reason::TYPE);
        found = descriptor_of(View(begin, static_cast<size_t>(at_ - begin)));
        if (found < 0) return fail(Reason::TYPE);
        ++at_;
        ++keys_;
        return colon();
    }

    const char* at_ = nullptr;
    const char* end_ = nullptr;
    Reason reason_ = Reason::NONE;
    int64_t keys_ = 0;

  private:
    std::string name_room_, text_room_;  // of names and texts with escapes
};

}  // namespace ddb
