// A schema and a contract, compiled: what becomes of each type of value at each attribute path.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "columns.hpp"
#include "text.hpp"
#include "times.hpp"

namespace ddb {

enum Descriptor : int { S, N, B, BOOL, NULL_, M, L, SS, NS, BS, DESCRIPTORS };

inline int descriptor_of(View name) {
    switch (name.size()) {
        case 1:
            switch (name[0]) {
                case 'S': return S;
                case 'N': return N;
                case 'B': return B;
                case 'M': return M;
                case 'L': return L;
                default: return -1;
            }
        case 2:
            if (name[1] != 'S') return -1;
            return name[0] == 'S' ? SS : name[0] == 'N' ? NS : name[0] == 'B' ? BS : -1;
        case 4:
            if (name == "BOOL") return BOOL;
            if (name == "NULL") return NULL_;
            return -1;
        default: return -1;
    }
}

enum class Action : uint8_t {
    HAND_BACK,  // the exact path decides
    SKIP,       // only checked and counted
    SCALAR,     // a value of the node's column
    FIELDS,     // a map whose fields are nodes of the same relation
    ROWS,       // a list or set whose elements are rows of another relation
    JSON,       // plain JSON: in the node's column, or in the JSON around it
    MARK,       // NULL, which `_ddb_extra` notes
    EXTRA,      // plain JSON in `_ddb_extra`, for it fits no column
    DISCARD,    // left out, and counted
};

enum class Mask : uint8_t { NONE, SHA256, HMAC, DROP };

// What was seen at a node, of values that became rows. Sizes are maxima.
struct Sizes {
    int64_t bytes = 0, whole = 0, scale = 0;
    bool bigint = true;
};

constexpr int FORMED = DESCRIPTORS;  // the count of texts in the form of the column, beside those of the descriptors

struct Seen {
    int64_t counts[DESCRIPTORS + 1] = {};
    Sizes sizes;
};

// What stands in a line where a field is as usual: `"name":{"S":`. It is compared as a whole.
struct Token {
    std::string text;  // empty for a name that JSON escapes
    int descriptor = S;
};

struct Node {
    Action actions[DESCRIPTORS] = {};
    Type type = Type::TEXT;
    int precision = 0, scale = 0;
    int64_t limit = 0;       // bytes of a text or binary
    Form form;               // of times
    bool loose = false;      // times in other forms are taken, and their text kept
    bool epochs = false;     // so are texts of whole numbers since 1970
    Mask mask = Mask::NONE;
    bool key_attribute = false;
    bool omitted = false;    // left out of the JSON around it
    bool open = false;       // JSON: names that are not among the fields are taken as well
    int column = -1;         // slot in its relation
    int relation = -1;       // of ROWS
    int element = -1;        // node of the elements
    int other = -1;          // node that says how values of EXTRA are written
    int misfit = -1;         // counter of EXTRA and DISCARD
    std::string path;        // of a value in `_ddb_extra`
    std::string key;         // the same as JSON, with its colon
    std::vector<std::string> names;
    std::vector<int> fields;
    std::vector<Token> tokens;   // of the fields
    std::vector<int> sorted;     // the places of `names`, in the order of `before`
    size_t first_field = 0;      // of all nodes' fields
    size_t first_order = 0;      // of all nodes' fields, with one more place for each node

    void index() {
        sorted.resize(names.size());
        for (size_t place = 0; place < names.size(); ++place) sorted[place] = static_cast<int>(place);
        std::sort(sorted.begin(), sorted.end(), [this](int a, int b) { return before(name(a), name(b)); });
    }

    // The place of a name among the fields; -1 for an unknown one. Names come from the data, so this is a binary search: no
    // choice of names makes it slow.
    int find(View wanted) const {
        const auto found = std::lower_bound(sorted.begin(), sorted.end(), wanted, [this](int place, View text) { return before(name(place), text); });
        return found != sorted.end() && name(*found) == wanted ? *found : -1;
    }

  private:
    View name(int place) const { return names[static_cast<size_t>(place)]; }

    static bool before(View a, View b) { return a.size() != b.size() ? a.size() < b.size() : a < b; }
};

constexpr int UNSEEN = -1;  // a key attribute that no line had; another negative slot is one that is no key's column

// Of the tuples that `spec.py` makes; another one is refused.
constexpr int LAYOUT = 2;

struct KeyAttribute {
    std::string name;
    int column = UNSEEN;  // slot in the root relation
    int descriptor = S;
    bool masked = false;
};

struct Plan {
    std::vector<Node> nodes;  // the first is the item
    std::vector<Relation> relations;  // without rows
    std::vector<KeyAttribute> key;
    int misfits = 0;
    bool incremental = false;
    int64_t first = 0, last = 0;  // the bounds of versions, in microseconds
    int version = -1, deleted = -1;  // slots in the root relation
    std::string secret;

    // Prepares what is derived from the nodes.
    void index() {
        size_t fields = 0;
        for (Node& node : nodes) {
            node.index();
            node.first_field = fields;
            node.first_order = fields + static_cast<size_t>(&node - nodes.data());
            fields += node.names.size();
            for (size_t field = 0; field < node.names.size(); ++field) {
                node.tokens.push_back(token_of(node.names[field], nodes[static_cast<size_t>(node.fields[field])]));
            }
        }
    }

  private:
    static Token token_of(const std::string& name, const Node& node) {
        static const char* const letters[] = {"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"};
        Token token;
        for (const Action wanted : {Action::SCALAR, Action::FIELDS, Action::ROWS, Action::JSON, Action::SKIP}) {
            for (int found = 0; found < DESCRIPTORS; ++found) {
                if (node.actions[found] != wanted) continue;
                std::string quoted;
                append_quoted(quoted, name);
                if (quoted.size() == name.size() + 2) token.text = quoted + ":{\"" + letters[found] + "\":";
                token.descriptor = found;
                return token;
            }
        }
        return token;
    }
};

}  // namespace ddb
