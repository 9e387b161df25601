// Columns of a relation while a block is read. A row that is handed back leaves no trace in them.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "numbers.hpp"
#include "text.hpp"

namespace ddb {

enum class Type : uint8_t { INT64, DECIMAL, DOUBLE, BOOLEAN, TEXT, BINARY, TIMESTAMP, TIMESTAMPTZ, DATE };

inline size_t width_of(Type type) {
    switch (type) {
        case Type::DECIMAL: return 16;
        case Type::BOOLEAN: return 1;
        case Type::DATE: return 4;
        case Type::TEXT:
        case Type::BINARY: return 0;
        default: return 8;
    }
}

// Values so far. Rows behind the last value are NULL without being stored, so a column costs nothing where it is not set.
struct Column {
    Type type = Type::TEXT;
    int precision = 0, scale = 0;
    Buffer<uint8_t> valid;   // one byte per row
    Buffer<char> data;       // fixed width, or texts one after another
    Buffer<int32_t> ends;    // of each text

    Column() = default;
    Column(Type type_, int precision_, int scale_) : type(type_), precision(precision_), scale(scale_) {}

    int64_t rows() const { return static_cast<int64_t>(valid.size()); }

    // Adds NULLs up to a row.
    void fill_to(int64_t row) {
        const size_t wanted = static_cast<size_t>(row);
        if (valid.size() >= wanted) return;
        const size_t width = width_of(type);
        if (width == 0) {
            ends.fill_to(wanted, static_cast<int32_t>(data.size()));
        } else {
            data.fill_to(wanted * width, 0);
        }
        valid.fill_to(wanted, 0);
    }

    template <typename T>
    void put(T value) {
        std::memcpy(data.grow(sizeof(T)), &value, sizeof(T));
        valid.push_back(1);
    }

    // Offsets of texts have 32 bits.
    bool has_room(size_t more) const { return more <= INT32_MAX && data.size() <= INT32_MAX - more; }

    // False where the column has no room for the text.
    bool put_text(View text) {
        if (!has_room(text.size())) return false;
        copy_bytes(data.grow(text.size()), text.data(), text.size());
        end_text();
        return true;
    }

    // Ends the text whose bytes were appended to `data`.
    void end_text() {
        ends.push_back(static_cast<int32_t>(data.size()));
        valid.push_back(1);
    }

    // Where the value of a row begins in `data`.
    size_t begin_of(int64_t row) const {
        const size_t width = width_of(type);
        if (width != 0) return static_cast<size_t>(row) * width;
        return row == 0 ? 0 : static_cast<size_t>(ends[static_cast<size_t>(row) - 1]);
    }

    // Takes away what rows from this one on have put here.
    void cut_to(int64_t row) {
        if (rows() > row) {
            valid.cut_to(static_cast<size_t>(row));
            ends.cut_to(static_cast<size_t>(row));
        }
        data.cut_to(begin_of(rows()));
    }
};

struct Relation {
    std::vector<Column> columns;  // by slot; the last is the text of `_ddb_extra`
    Buffer<int32_t> parents;      // the row of the parent relation that each row belongs to
    Buffer<int64_t> places;       // in its list
    int64_t rows = 0;

    void cut_to(int64_t row) {
        rows = row;
        parents.cut_to(static_cast<size_t>(row));
        places.cut_to(static_cast<size_t>(row));
        for (Column& column : columns) column.cut_to(row);
    }

    // A relation without rows, with the same columns.
    Relation blank() const {
        Relation copy;
        for (const Column& column : columns) copy.columns.emplace_back(column.type, column.precision, column.scale);
        return copy;
    }
};

}  // namespace ddb
