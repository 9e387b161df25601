// Values as plain JSON text, and values that are only checked and counted: what needs no columns.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base64.hpp"
#include "numbers.hpp"
#include "plan.hpp"
#include "scanner.hpp"
#include "sha256.hpp"
#include "sights.hpp"

namespace ddb {

constexpr int MAX_DEPTH = 30;       // of values in values; DynamoDB has 32 levels, and the exact path says what is deeper
constexpr int64_t MAX_TEXT = 65535; // bytes of a text in SUPER
constexpr size_t MAX_EXTRA = 16 << 20;  // bytes of a whole SUPER

class PlainJson : protected Scanner {
  protected:
    explicit PlainJson(const Plan& plan) : plan_(plan), sights_(plan.nodes.size()) {
        size_t fields = 0;
        for (const Node& node : plan.nodes) fields += node.names.size();
        last_.resize(fields, 0);
    }

    // Appends a payload to `json_` as plain JSON. `index` is the node whose sights these are.
    bool json(const Node& node, int index, int found, int depth) {
        switch (found) {
            case S:
            case N:
            case B:
                if (!text(payload_)) return false;
                return json_text(node, index, found, payload_);
            case BOOL: {
                bool flag;
                if (!boolean(flag)) return false;
                sights_.see(index, found);
                if (node.mask != Mask::NONE) {
                    json_masked(node, flag ? "true" : "false");
                } else {
                    json_ += flag ? "true" : "false";
                }
                return true;
            }
            case NULL_:
                sights_.see(index, found);
                if (!literal("true")) return false;
                json_ += "null";
                return true;
            case M: sights_.see(index, found); return json_map(node, depth);
            case L: sights_.see(index, found); return json_list(node, depth);
            default: sights_.see(index, found); return json_set(node, found);
        }
    }

    bool json_text(const Node& node, int index, int found, View text) {
        Sizes sizes;
        Number number;
        if (found == N && !read_number(text, number)) return fail(Reason::VALUE);
        if (found == N) text = number.text;
        const int64_t bytes = static_cast<int64_t>(text.size());
        if (found == B && !is_base64(text, bytes_)) return fail(Reason::VALUE);
        if (node.mask != Mask::NONE) {
            json_masked(node, text);
        } else if (found == N) {
            if (!fits_super(number)) return fail(Reason::VALUE);
            digits(sizes, number);
            json_.append(text);
        } else {
            if (bytes > MAX_TEXT) return fail(Reason::SIZE);
            if (found == S) sizes.bytes = bytes;
            append_quoted(json_, text);
        }
        sights_.see(index, found);
        sights_.size(index, sizes);
        return true;
    }

    void json_masked(const Node& node, View text) {
        if (node.mask == Mask::DROP) {
            json_ += "null";
        } else {
            append_quoted(json_, node.mask == Mask::SHA256 ? sha256(text) : hmac_sha256(plan_.secret, text));
        }
    }

    // A value inside JSON.
    bool json_value(const Node* node, int index, int depth) {
        int found;
        if (depth > MAX_DEPTH) return fail(Reason::DEPTH);
        if (!descriptor(found)) return false;
        if (node == nullptr) {  // nothing is known of it: what plain JSON tells by itself
            if (found == B || found >= SS) return fail(Reason::TYPE);
            if (!json(UNKNOWN, -1, found, depth)) return false;
        } else {
            if (node->actions[found] != Action::JSON) return fail(Reason::TYPE);
            if (!json(*node, index, found, depth)) return false;
        }
        return close('}');
    }

    bool json_map(const Node& node, int depth) {
        if (!open('{')) return false;
        const size_t members = members_.size(), names = names_.size(), start = json_.size();
        blanks();
        if (at_ < end_ && *at_ == '}') {
            ++at_;
            json_ += "{}";
            return true;
        }
        const uint64_t instance = ++instances_;
        bool sorted = true;
        for (;;) {
            View name;
            if (!name_of_member(name)) return false;
            const int field = node.find(name);
            const Node* below = nullptr;
            int index = -1;
            if (field >= 0) {
                uint64_t& last = last_[node.first_field + static_cast<size_t>(field)];
                if (last == instance) return fail(Reason::TWICE);
                last = instance;
                index = node.fields[static_cast<size_t>(field)];
                below = &plan_.nodes[static_cast<size_t>(index)];
            } else if (!node.open) {
                return fail(Reason::NAME);
            }
            if (below != nullptr && below->omitted) {
                if (!skip_value(below, index, depth + 1)) return false;
            } else {
                Member member{names_.size(), 0, 0, 0};
                names_.append(name);
                member.name_end = names_.size();
                if (members_.size() > members) {
                    const Member& before = members_.back();
                    sorted = sorted && View(names_).substr(before.name, before.name_end - before.name) < View(names_).substr(member.name);
                }
                member.begin = json_.size();
                append_quoted(json_, View(names_).substr(member.name));
                json_ += ':';
                if (!json_value(below, index, depth + 1)) return false;
                member.end = json_.size();
                members_.push_back(member);
            }
            if (at_ < end_ && *at_ == ',') {
                ++at_;
                continue;
            }
            break;
        }
        if (!close('}')) return false;
        const bool good = join(start, members, sorted);
        members_.resize(members);
        names_.resize(names);
        return good;
    }

    // Puts the members behind `start` in the order of their names, with commas and braces.
    bool join(size_t start, size_t first, bool sorted) {
        const auto begin = members_.begin() + static_cast<std::ptrdiff_t>(first);
        const View names(names_);
        const auto name_of = [&](const Member& member) { return names.substr(member.name, member.name_end - member.name); };
        if (!sorted) {
            std::sort(begin, members_.end(), [&](const Member& a, const Member& b) { return name_of(a) < name_of(b); });
            for (auto member = begin; member + 1 < members_.end(); ++member) {
                if (name_of(member[0]) == name_of(member[1])) return fail(Reason::TWICE);
            }
        }
        joined_.clear();
        joined_ += '{';
        for (auto member = begin; member != members_.end(); ++member) {
            if (member != begin) joined_ += ',';
            joined_.append(json_, member->begin, member->end - member->begin);
        }
        joined_ += '}';
        json_.replace(start, std::string::npos, joined_);
        return true;
    }

    bool json_list(const Node& node, int depth) {
        const Node* element = node.element >= 0 ? &plan_.nodes[static_cast<size_t>(node.element)] : nullptr;
        if (!open('[')) return false;
        json_ += '[';
        blanks();
        if (at_ < end_ && *at_ == ']') {
            ++at_;
            json_ += ']';
            return true;
        }
        if (element == nullptr && !node.open) return fail(Reason::NAME);
        for (bool first = true;; first = false) {
            if (element != nullptr && element->omitted) {
                if (!skip_value(element, node.element, depth + 1)) return false;
            } else {
                if (!first) json_ += ',';
                if (!json_value(element, node.element, depth + 1)) return false;
            }
            blanks();
            if (at_ < end_ && *at_ == ',') {
                ++at_;
                continue;
            }
            json_ += ']';
            return close(']');
        }
    }

    // A set as an array, its members in order: text by code point, numbers by value.
    bool json_set(const Node& node, int found) {
        const int kind = found - SS;
        const Node* element = node.element >= 0 ? &plan_.nodes[static_cast<size_t>(node.element)] : nullptr;
        if (element != nullptr && (element->omitted || element->actions[kind] != Action::JSON)) return fail(Reason::TYPE);
        const Node& member = element != nullptr ? *element : UNKNOWN;
        std::vector<std::string>& texts = texts_;
        size_t count = 0;
        if (!open('[')) return false;
        blanks();
        if (at_ < end_ && *at_ == ']') {
            ++at_;
            json_ += "[]";
            return true;
        }
        for (;;) {
            if (!text(payload_)) return false;
            if (texts.size() == count) texts.emplace_back();
            texts[count++].assign(payload_.data(), payload_.size());
            blanks();
            if (at_ < end_ && *at_ == ',') {
                ++at_;
                continue;
            }
            break;
        }
        if (!close(']')) return false;
        const auto begin = texts.begin();
        const auto end = begin + static_cast<std::ptrdiff_t>(count);
        if (kind == N) {
            for (auto one = begin; one != end; ++one) {
                Number number;
                if (!read_number(*one, number) || number.whole_digits() + number.scale() > 15) return fail(Reason::VALUE);
            }
            std::sort(begin, end, less_number);
        } else {
            std::sort(begin, end);
        }
        json_ += '[';
        for (auto one = begin; one != end; ++one) {
            if (one != begin) json_ += ',';
            if (!json_text(member, node.element, kind, *one)) return false;
        }
        json_ += ']';
        return true;
    }

    // By value; canonical numbers of at most 15 digits are distinct doubles, so their order is that of doubles.
    static bool less_number(const std::string& a, const std::string& b) {
        Number one, other;
        read_number(a, one);
        read_number(b, other);
        if (one.negative != other.negative) return one.negative;
        const bool less = smaller(one, other), more = smaller(other, one);
        return one.negative ? more : less;
    }

    static bool smaller(const Number& one, const Number& other) {
        if (one.whole.size() != other.whole.size()) return one.whole.size() < other.whole.size();
        if (one.whole != other.whole) return one.whole < other.whole;
        return one.fraction < other.fraction;  // no zeros at the end, so a prefix is smaller
    }

    // --- what is only checked and counted ---

    bool skip_value(const Node* node, int index, int depth) {
        int found;
        if (depth > MAX_DEPTH) return fail(Reason::DEPTH);
        if (!descriptor(found)) return false;
        if (node != nullptr) {
            if (node->actions[found] == Action::HAND_BACK) return fail(Reason::TYPE);
            sights_.see(index, found);
        }
        return skip_payload(node, found, depth) && close('}');
    }

    bool skip_payload(const Node* node, int found, int depth) {
        switch (found) {
            case S: return text(payload_);
            case N:
            case B: return text(payload_) && is_payload(found);
            case BOOL: {
                bool flag;
                return boolean(flag);
            }
            case NULL_: return literal("true");
            case M: return skip_object(node, depth);
            default: break;
        }
        if (!open('[')) return false;
        blanks();
        if (at_ < end_ && *at_ == ']') {
            ++at_;
            return true;
        }
        const int element = node != nullptr ? node->element : -1;
        for (;;) {
            if (found == L) {
                if (!skip_value(element >= 0 ? &plan_.nodes[static_cast<size_t>(element)] : nullptr, element, depth + 1)) return false;
            } else {
                blanks();
                if (!text(payload_) || (found != SS && !is_payload(found - SS))) return false;
            }
            blanks();
            if (at_ < end_ && *at_ == ',') {
                ++at_;
                continue;
            }
            return close(']');
        }
    }

    bool is_payload(int found) {
        Number number;
        return (found == N ? read_number(payload_, number) : is_base64(payload_, bytes_)) || fail(Reason::VALUE);
    }

    // Equal names have equal hashes. Where others have too, the line is handed back.
    static uint64_t hash(View name) {
        uint64_t value = 0xcbf29ce484222325ULL ^ name.size();
        size_t at = 0;
        for (; at + 8 <= name.size(); at += 8) {
            uint64_t word;
            std::memcpy(&word, name.data() + at, 8);
            value = (value ^ word) * 0x9fb21c651e98df25ULL;
            value ^= value >> 32;
        }
        for (; at < name.size(); ++at) value = (value ^ static_cast<unsigned char>(name[at])) * 0x100000001b3ULL;
        return value;
    }

    bool skip_object(const Node* node, int depth) {
        if (!open('{')) return false;
        blanks();
        if (at_ < end_ && *at_ == '}') {
            ++at_;
            return true;
        }
        const size_t start = hashes_.size();
        for (;;) {
            View name;
            if (!name_of_member(name)) return false;
            hashes_.push_back(hash(name));
            const int field = node != nullptr ? node->find(name) : -1;
            const int below = field >= 0 ? node->fields[static_cast<size_t>(field)] : -1;
            if (!skip_value(below >= 0 ? &plan_.nodes[static_cast<size_t>(below)] : nullptr, below, depth + 1)) {
                hashes_.resize(start);
                return false;
            }
            if (at_ < end_ && *at_ == ',') {
                ++at_;
                continue;
            }
            break;
        }
        const auto begin = hashes_.begin() + static_cast<std::ptrdiff_t>(start);
        std::sort(begin, hashes_.end());
        const bool twice = std::adjacent_find(begin, hashes_.end()) != hashes_.end();
        hashes_.resize(start);
        return twice ? fail(Reason::TWICE) : close('}');
    }

    static void digits(Sizes& sizes, const Number& number) {
        sizes.whole = number.whole == "0" && !number.fraction.empty() ? 0 : number.whole_digits();
        sizes.scale = number.scale();
        sizes.bytes = static_cast<int64_t>(number.text.size());
        sizes.bigint = false;
    }

    // Forgets what a line that was handed back has left.
    void begin_line() {
        sights_.begin_line();
        members_.clear();
        names_.clear();
        hashes_.clear();
    }

    const Plan& plan_;
    Sights sights_;
    uint64_t instances_ = 0;        // maps so far
    std::vector<uint64_t> last_;    // the map in which each field was last
    std::string json_;              // the text so far
    View payload_;
    Buffer<char> bytes_;

  private:
    struct Member {
        size_t name, name_end;  // of `names_`
        size_t begin, end;      // of `json_`
    };

    inline static const Node UNKNOWN = [] {
        Node node;
        node.open = true;
        for (int found : {S, N, BOOL, NULL_, M, L}) node.actions[found] = Action::JSON;
        return node;
    }();

    std::vector<Member> members_;
    std::vector<uint64_t> hashes_;
    std::vector<std::string> texts_;
    std::string joined_, names_;
};

}  // namespace ddb
