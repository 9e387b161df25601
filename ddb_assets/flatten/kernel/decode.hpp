// A block of lines into rows. What is out of the ordinary is handed back, and leaves no trace.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "columns.hpp"
#include "keys.hpp"
#include "plain_json.hpp"
#include "times.hpp"

namespace ddb {

struct Back {
    int64_t line;  // of the block, from 0, blank ones included
    size_t begin, end;
    Reason reason;
};

struct Decoded {
    std::vector<Relation> relations;
    std::vector<Seen> seen;         // by node
    std::vector<int64_t> misfits;
    std::vector<Back> back;
    int64_t lines = 0;              // that are not blank
    int64_t deletes = 0;
    int64_t passed = 0;             // lines, with the blank ones
    size_t end = 0;                 // of the last of them: the rest of the block was not read
};

class Decoder : private PlainJson {
  public:
    // Reading stops after the line with which a relation has more than `cells` values, NULL included.
    Decoder(const Plan& plan, const char* begin, const char* end, int64_t cells) : PlainJson(plan), block_(begin), block_end_(end) {
        for (const Relation& relation : plan.relations) out_.relations.push_back(relation.blank());
        out_.misfits.resize(static_cast<size_t>(plan.misfits));
        order_.resize(last_.size() + plan.nodes.size(), 0);
        rows_.resize(plan.relations.size());
        for (const Relation& relation : plan.relations) most_.push_back(cells / static_cast<int64_t>(relation.columns.size()));
    }

    Decoded run() {
        const char* at = block_;
        while (at < block_end_ && !is_full()) {
            const char* stop = static_cast<const char*>(std::memchr(at, '\n', static_cast<size_t>(block_end_ - at)));
            if (stop == nullptr) stop = block_end_;
            if (stop != at) read(at, stop, out_.passed);
            at = stop == block_end_ ? stop : stop + 1;
            ++out_.passed;
        }
        out_.end = static_cast<size_t>(at - block_);
        for (Relation& relation : out_.relations) {
            for (Column& column : relation.columns) column.fill_to(relation.rows);
        }
        out_.seen = sights_.taken();
        return std::move(out_);
    }

  private:
    // Where values go: a row that is being made.
    struct Place {
        int relation;
        int64_t row;
    };
    struct Extra {
        const Node* node;
        size_t begin, end;  // of `extra_text_`
    };

    // Lines that are handed back count for the root too: the exact path makes rows of them.
    bool is_full() const {
        if (out_.lines > most_[0]) return true;
        for (size_t place = 1; place < most_.size(); ++place) {
            if (out_.relations[place].rows > most_[place]) return true;
        }
        return false;
    }

    void read(const char* begin, const char* end, int64_t line) {
        ++out_.lines;
        scan(begin, end);
        begin_line();
        for (size_t place = 0; place < out_.relations.size(); ++place) rows_[place] = out_.relations[place].rows;
        spoiled_.clear();
        extras_.clear();
        extra_text_.clear();
        deleted_ = false;
        Place root{0, out_.relations[0].rows};
        bool good = is_utf8(begin, end) || fail(Reason::UTF8);
        good = good && (plan_.incremental ? change(root) : full(root));
        if (good && keys_ != count_names(begin, end)) good = fail(Reason::COUNT);
        good = good && key(root);
        good = good && finish(root, 0);
        if (good) {
            commit();
        } else {
            undo();
            out_.back.push_back({line, static_cast<size_t>(begin - block_), static_cast<size_t>(end - block_), reason_});
        }
    }

    void commit() {
        ++out_.relations[0].rows;
        out_.deletes += deleted_;
        for (const int misfit : spoiled_) ++out_.misfits[static_cast<size_t>(misfit)];
    }

    void undo() {
        for (size_t place = 0; place < out_.relations.size(); ++place) out_.relations[place].cut_to(rows_[place]);
        sights_.undo_line();
    }

    // --- what a line is ---

    bool full(const Place& root) {
        View name;
        if (!open('{') || !name_of_member(name)) return false;
        if (name != "Item") return fail(Reason::RECORD);
        sights_.see(0, M);
        return object(plan_.nodes[0], root, 0) && close('}') && at_end();
    }

    bool change(const Place& root) {
        bool metadata = false, keys = false, image = false, old = false;
        const char* keys_at = nullptr;
        if (!open('{')) return false;
        for (;;) {
            View name;
            if (!name_of_member(name)) return false;
            bool* there = name == "Metadata" ? &metadata : name == "Keys" ? &keys : name == "NewImage" ? &image : name == "OldImage" ? &old : nullptr;
            if (there == nullptr) return fail(Reason::RECORD);
            if (*there) return fail(Reason::TWICE);
            *there = true;
            bool good;
            if (there == &metadata) {
                good = write_time(root);
            } else if (there == &image) {
                sights_.see(0, M);
                good = object(plan_.nodes[0], root, 0);
            } else {
                if (there == &keys) keys_at = at_;
                sights_.recording = false;
                good = skip_object(nullptr, 0);
                sights_.recording = true;
            }
            if (!good) return false;
            blanks();
            if (at_ < end_ && *at_ == ',') {
                ++at_;
                continue;
            }
            break;
        }
        if (!close('}') || !at_end()) return false;
        if (!metadata || !keys) return fail(Reason::RECORD);
        deleted_ = !image;
        if (deleted_) sights_.see(0, M);
        put_flag(root, plan_.deleted, deleted_);
        return keys_agree(root, keys_at);
    }

    bool write_time(const Place& root) {
        View name;
        if (!open('{') || !name_of_member(name)) return false;
        if (name != "WriteTimestampMicros" || !open('{') || !name_of_member(name) || name != "N") return fail(Reason::RECORD);
        Number number;
        int64_t micros;
        if (!text(payload_)) return false;
        if (!read_number(payload_, number) || number.given != 0 || !to_int64(number, micros) || micros <= 0) return fail(Reason::VALUE);
        micros = std::min(std::max(micros, plan_.first), plan_.last);
        Column& column = column_of(root, plan_.version);
        column.put(micros);
        return close('}') && close('}');
    }

    // The key of a change: that of the new image, or without one the only columns that the row has.
    bool keys_agree(const Place& root, const char* keys_at) {
        const char* behind = at_;
        const int64_t counted = keys_;
        at_ = keys_at;
        size_t found = 0;
        bool good = open('{');
        while (good) {
            View name;
            good = name_of_member(name);
            if (!good) break;
            const KeyAttribute* attribute = nullptr;
            for (const KeyAttribute& one : plan_.key) {
                if (one.name == name) attribute = &one;
            }
            if (attribute == nullptr || attribute->column < 0) return fail(Reason::KEY);
            ++found;
            const int field = plan_.nodes[0].find(name);
            if (field < 0) return fail(Reason::KEY);
            const Node& node = plan_.nodes[static_cast<size_t>(plan_.nodes[0].fields[static_cast<size_t>(field)])];
            Column& column = out_.relations[0].columns[static_cast<size_t>(attribute->column)];
            if (deleted_) {
                good = value(node, index_of(node), root, 0);
            } else {
                // read the key into the column a second time, compare, and take it away again
                const int64_t rows = column.rows();
                if (rows != root.row + 1) return fail(Reason::KEY);
                const size_t begin = column.begin_of(root.row), bytes = column.data.size() - begin;
                sights_.recording = false;
                good = value(node, index_of(node), Place{0, rows}, 0);
                sights_.recording = true;
                const bool equal = good && column.rows() == rows + 1 && column.data.size() == begin + 2 * bytes &&
                                   std::memcmp(column.data.data() + begin, column.data.data() + begin + bytes, bytes) == 0;
                if (good && !equal) return fail(Reason::KEY);
                if (good) column.cut_to(rows);
            }
            if (!good) break;
            blanks();
            if (at_ < end_ && *at_ == ',') {
                ++at_;
                continue;
            }
            break;
        }
        if (!good) return false;
        at_ = behind;
        keys_ = counted;
        return found == plan_.key.size() || fail(Reason::KEY);
    }

    bool key(const Place& root) {
        for (const KeyAttribute& attribute : plan_.key) {
            if (attribute.column < 0) return fail(attribute.column == UNSEEN ? Reason::NO_KEY : Reason::KEY);
            const Column& column = out_.relations[0].columns[static_cast<size_t>(attribute.column)];
            if (column.rows() != root.row + 1) return fail(Reason::NO_KEY);
            if (attribute.masked || width_of(column.type) != 0) continue;
            if (column.data.size() == column.begin_of(root.row)) return fail(Reason::NO_KEY);
            if (attribute.descriptor == S && column.data.back() == ' ') return fail(Reason::NO_KEY);
        }
        return true;
    }

    // --- values ---

    // A map whose members are the node's fields.
    bool object(const Node& node, const Place& place, int depth, bool* empty = nullptr) {
        if (!open('{')) return false;
        blanks();
        if (at_ < end_ && *at_ == '}') {
            ++at_;
            if (empty != nullptr) *empty = true;
            return true;
        }
        const uint64_t instance = ++instances_;
        int32_t* next = &order_[node.first_order];
        for (;;) {
            int field, found;
            if (as_usual(node, *next, found)) {
                field = *next;
            } else {
                View name;
                if (!name_of_member(name)) return false;
                field = node.find(name);
                if (field < 0) return fail(Reason::NAME);
                if (!descriptor(found)) return false;
                *next = field;
            }
            uint64_t& last = last_[node.first_field + static_cast<size_t>(field)];
            if (last == instance) return fail(Reason::TWICE);
            last = instance;
            next = &order_[node.first_order + static_cast<size_t>(field) + 1];
            const int below = node.fields[static_cast<size_t>(field)];
            if (depth >= MAX_DEPTH) return fail(Reason::DEPTH);
            if (!payload(plan_.nodes[static_cast<size_t>(below)], below, found, place, depth + 1) || !close('}')) return false;
            if (at_ < end_ && *at_ == ',') {
                ++at_;
                continue;
            }
            return close('}');
        }
    }

    // Takes name and descriptor of a field at once, where they are as usual.
    DDB_ASSETS_INLINE bool as_usual(const Node& node, int next, int& found) {
        if (next >= static_cast<int>(node.tokens.size())) return false;
        const Token& token = node.tokens[static_cast<size_t>(next)];
        const size_t size = token.text.size();
        if (size == 0 || static_cast<size_t>(end_ - at_) < size || !same_bytes(at_, token.text.data(), size)) return false;
        at_ += size;
        keys_ += 2;
        found = token.descriptor;
        return true;
    }

    bool value(const Node& node, int index, const Place& place, int depth) {
        int found;
        if (depth > MAX_DEPTH) return fail(Reason::DEPTH);
        if (!descriptor(found)) return false;
        return payload(node, index, found, place, depth) && close('}');
    }

    // The payload of a value, or (`found` is the members' type) a member of a set.
    bool payload(const Node& node, int index, int found, const Place& place, int depth) {
        const Action action = node.actions[found];
        switch (action) {
            case Action::HAND_BACK: return fail(Reason::TYPE);
            case Action::SKIP: sights_.see(index, found); return skip_payload(&node, found, depth);
            case Action::SCALAR: return scalar(node, index, found, place);
            case Action::FIELDS: {
                bool empty = false;
                sights_.see(index, found);
                if (!object(node, place, depth, &empty)) return false;
                if (empty) extra(node, "{}");
                return true;
            }
            case Action::ROWS: return rows(node, index, found, place, depth);
            case Action::MARK:
                sights_.see(index, found);
                if (!literal("true")) return false;
                extra(node, "null");
                return true;
            case Action::JSON: {
                json_.clear();
                if (!json(node, index, found, depth)) return false;
                if (node.column >= 0) {
                    if (!column_of(place, node.column).put_text(json_)) return fail(Reason::SIZE);
                }
                return true;
            }
            case Action::EXTRA:
            case Action::DISCARD:
                json_.clear();
                if (!json(plan_.nodes[static_cast<size_t>(node.other)], index, found, depth)) return false;
                if (action == Action::EXTRA) extra(node, json_);
                spoiled_.push_back(node.misfit);
                return true;
        }
        return fail(Reason::TYPE);
    }

    bool rows(const Node& node, int index, int found, const Place& place, int depth) {
        sights_.see(index, found);
        if (!open('[')) return false;
        blanks();
        if (at_ < end_ && *at_ == ']') {
            ++at_;
            extra(node, "[]");
            return true;
        }
        if (node.element < 0) return fail(Reason::NAME);
        const Node& element = plan_.nodes[static_cast<size_t>(node.element)];
        Relation& relation = out_.relations[static_cast<size_t>(node.relation)];
        for (int64_t number = 0;; ++number) {
            const Place below{node.relation, relation.rows};
            relation.parents.push_back(static_cast<int32_t>(place.row));
            relation.places.push_back(number);
            const size_t extras = extras_.size();
            if (found == L ? !value(element, node.element, below, depth + 1) : !payload(element, node.element, found - SS, below, depth)) return false;
            if (!finish(below, extras)) return false;
            ++relation.rows;
            blanks();
            if (at_ < end_ && *at_ == ',') {
                ++at_;
                continue;
            }
            return close(']');
        }
    }

    bool scalar(const Node& node, int index, int found, const Place& place) {
        Sizes sizes;
        bool formed = false;
        if (found == BOOL) {
            bool flag;
            if (!boolean(flag)) return false;
            if (node.mask != Mask::NONE) {
                if (!masked(node, place, flag ? "true" : "false")) return fail(Reason::SIZE);
            } else if (node.type == Type::BOOLEAN) {
                put_flag(place, node.column, flag);
            } else {
                return fail(Reason::TYPE);
            }
            sights_.see(index, found);
            return true;
        }
        if (!text(payload_)) return false;
        Number number;
        if (found == N && !read_number(payload_, number)) return fail(Reason::VALUE);
        if (node.mask != Mask::NONE) {
            if (found == B && !is_base64(payload_, bytes_)) return fail(Reason::VALUE);
            if (node.key_attribute && payload_.empty()) return fail(Reason::KEY);
            if (!masked(node, place, found == N ? number.text : payload_)) return fail(Reason::SIZE);
            sights_.see(index, found);
            return true;
        }
        switch (node.type) {
            case Type::TEXT:
                if (found == B) return fail(Reason::TYPE);
                if (found == N) payload_ = number.text;
                sizes.bytes = static_cast<int64_t>(payload_.size());
                if (sizes.bytes > node.limit) return fail(Reason::SIZE);
                if (found == N) digits(sizes, number);
                if (!column_of(place, node.column).put_text(payload_)) return fail(Reason::SIZE);
                break;
            case Type::BINARY: {
                if (found != B) return fail(Reason::TYPE);
                Column& column = column_of(place, node.column);
                const size_t before = column.data.size();
                if (!column.has_room(payload_.size())) return fail(Reason::SIZE);
                if (!append_base64(column.data, payload_)) return fail(Reason::VALUE);
                sizes.bytes = static_cast<int64_t>(column.data.size() - before);
                if (sizes.bytes > node.limit) return fail(Reason::SIZE);
                column.end_text();
                break;
            }
            case Type::INT64:
            case Type::DECIMAL:
            case Type::DOUBLE:
                if (found == B || (found == S && !read_number(payload_, number))) return fail(Reason::VALUE);
                if (!put_number(node, place, number)) return fail(Reason::VALUE);
                if (found == S) {
                    const bool same = number.given == (node.type == Type::DECIMAL ? node.scale : 0) && node.type != Type::DOUBLE;
                    if (!same) beside(node);
                } else if (node.type != Type::DOUBLE) {
                    const bool bigint = node.type == Type::INT64;
                    digits(sizes, number);
                    sizes.bigint = bigint;
                }
                break;
            case Type::TIMESTAMP:
            case Type::TIMESTAMPTZ:
            case Type::DATE:
                if (found == B || !put_time(node, place, formed)) return fail(Reason::TIME);
                if (formed) sights_.see(index, FORMED);
                if (found == N) digits(sizes, number);  // they say the unit, if all items decide on it
                sizes.bytes = static_cast<int64_t>(payload_.size());
                break;
            case Type::BOOLEAN: return fail(Reason::TYPE);
        }
        sights_.see(index, found);
        sights_.size(index, sizes);
        return true;
    }

    bool put_number(const Node& node, const Place& place, const Number& number) {
        int64_t whole;
        int128 decimal;
        double real;
        switch (node.type) {
            case Type::INT64:
                if (!to_int64(number, whole)) return false;
                column_of(place, node.column).put(whole);
                return true;
            case Type::DECIMAL:
                if (!to_decimal(number, node.precision, node.scale, decimal)) return false;
                column_of(place, node.column).put(decimal);
                return true;
            default:
                if (!to_double(number, real)) return false;
                column_of(place, node.column).put(real);
                return true;
        }
    }

    // `formed` says whether the text has one of the forms that `timestamps.form` knows, or is a number of the column's unit.
    bool put_time(const Node& node, const Place& place, bool& formed) {
        const bool unit = node.form.kind >= Form::SECONDS;
        Number number;
        int64_t whole, micros;
        if ((unit || node.epochs) && read_number(payload_, number) && number.given == 0 && to_int64(number, whole)) {
            if (node.type == Type::DATE) return false;
            if (unit ? !epoch_micros(whole, node.form.kind, micros) : !epoch_micros(whole, micros)) return false;
            formed = unit;
            if (!unit) beside(node);
            column_of(place, node.column).put(micros);
            return true;
        }
        if (unit) return false;
        Time time;
        if (!read_time(payload_, node.loose, time)) return false;
        formed = time.form.kind != Form::NONE;
        if (node.type == Type::DATE) {
            if (time.form.kind != Form::DATE) return false;
            const int32_t days = static_cast<int32_t>(time.days);
            column_of(place, node.column).put(days);
            return true;
        }
        if (time.form.kind == Form::DATE) return false;
        if (!(time.form == node.form)) {
            const bool naive = node.type == Type::TIMESTAMP && !time.zoned && time.form.kind == Form::TIME;
            if (!naive && !(node.loose && time.zoned)) return false;
            if (time.micros >= 253402300800000000LL) return false;  // the year 10000
            beside(node);
        }
        column_of(place, node.column).put(time.micros);
        return true;
    }

    bool masked(const Node& node, const Place& place, View text) {
        if (node.mask == Mask::DROP) return true;
        return column_of(place, node.column).put_text(node.mask == Mask::SHA256 ? sha256(text) : hmac_sha256(plan_.secret, text));
    }

    // --- `_ddb_extra` ---

    void extra(const Node& node, View text) {
        const size_t begin = extra_text_.size();
        extra_text_.append(text);
        extras_.push_back({&node, begin, extra_text_.size()});
    }

    // The payload as it was written, for the column shows it in another form.
    void beside(const Node& node) {
        const size_t begin = extra_text_.size();
        append_quoted(extra_text_, payload_);
        extras_.push_back({&node, begin, extra_text_.size()});
    }

    // Writes what was noted of a row since `first` into its column, and forgets it.
    bool finish(const Place& place, size_t first) {
        if (extras_.size() == first) return true;
        const auto begin = extras_.begin() + static_cast<std::ptrdiff_t>(first);
        const size_t start = begin->begin;
        std::sort(begin, extras_.end(), [](const Extra& a, const Extra& b) { return a.node->path < b.node->path; });
        Relation& relation = out_.relations[static_cast<size_t>(place.relation)];
        Column& column = column_of(place, static_cast<int>(relation.columns.size()) - 1);
        size_t bytes = 2;
        for (auto one = begin; one != extras_.end(); ++one) bytes += one->node->key.size() + (one->end - one->begin) + 1;
        if (bytes > MAX_EXTRA || !column.has_room(bytes)) return fail(Reason::SIZE);
        const auto append = [&](View text) { column.data.append(text.data(), text.size()); };
        append("{");
        for (auto one = begin; one != extras_.end(); ++one) {
            if (one != begin) append(",");
            append(one->node->key);
            append(View(extra_text_).substr(one->begin, one->end - one->begin));
        }
        append("}");
        column.end_text();
        extras_.resize(first);
        extra_text_.resize(start);
        return true;
    }

    // --- columns ---

    DDB_ASSETS_INLINE Column& column_of(const Place& place, int slot) {
        Column& column = out_.relations[static_cast<size_t>(place.relation)].columns[static_cast<size_t>(slot)];
        column.fill_to(place.row);
        return column;
    }

    void put_flag(const Place& place, int slot, bool flag) {
        const uint8_t byte = flag ? 1 : 0;
        column_of(place, slot).put(byte);
    }

    int index_of(const Node& node) const { return static_cast<int>(&node - plan_.nodes.data()); }

    const char* block_;
    const char* block_end_;
    Decoded out_;
    bool deleted_ = false;
    std::vector<int32_t> order_;    // the field that came first in a node's map, and after each of its fields
    std::vector<int64_t> rows_;     // of each relation, before the line
    std::vector<int64_t> most_;     // rows of each relation
    std::vector<int> spoiled_;      // misfits of the line
    std::vector<Extra> extras_;
    std::string extra_text_;
};

}  // namespace ddb
