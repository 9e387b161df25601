// Relations as struct arrays of the Arrow C Data Interface (Arrow documentation, "The Arrow C data interface").
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "columns.hpp"

extern "C" {
struct ArrowSchema {
    const char* format;
    const char* name;
    const char* metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema** children;
    struct ArrowSchema* dictionary;
    void (*release)(struct ArrowSchema*);
    void* private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void** buffers;
    struct ArrowArray** children;
    struct ArrowArray* dictionary;
    void (*release)(struct ArrowArray*);
    void* private_data;
};
}

namespace ddb {

constexpr int64_t ARROW_NULLABLE = 2;

struct SchemaParts {
    std::string format, name;
    std::vector<ArrowSchema> children;
    std::vector<ArrowSchema*> pointers;
};

struct ArrayParts {
    std::vector<uint8_t> valid, bits;
    Buffer<char> data;
    Buffer<int32_t> offsets, parents;
    Buffer<int64_t> places;
    const void* buffers[3] = {};
    std::vector<ArrowArray> children;
    std::vector<ArrowArray*> pointers;
};

inline void release_schema(ArrowSchema* schema) {
    SchemaParts* parts = static_cast<SchemaParts*>(schema->private_data);
    for (ArrowSchema& child : parts->children) {
        if (child.release != nullptr) child.release(&child);
    }
    delete parts;
    schema->release = nullptr;
}

inline void release_array(ArrowArray* array) {
    ArrayParts* parts = static_cast<ArrayParts*>(array->private_data);
    for (ArrowArray& child : parts->children) {
        if (child.release != nullptr) child.release(&child);
    }
    delete parts;
    array->release = nullptr;
}

inline ArrowSchema schema_of(std::string format, std::string name) {
    SchemaParts* parts = new SchemaParts{std::move(format), std::move(name), {}, {}};
    ArrowSchema schema{};
    schema.format = parts->format.c_str();
    schema.name = parts->name.c_str();
    schema.flags = ARROW_NULLABLE;
    schema.release = release_schema;
    schema.private_data = parts;
    return schema;
}

inline std::string format_of(const Column& column) {
    switch (column.type) {
        case Type::INT64: return "l";
        case Type::DECIMAL: return "d:" + std::to_string(column.precision) + "," + std::to_string(column.scale);
        case Type::DOUBLE: return "g";
        case Type::BOOLEAN: return "b";
        case Type::TEXT: return "u";
        case Type::BINARY: return "z";
        case Type::TIMESTAMP: return "tsu:";
        case Type::TIMESTAMPTZ: return "tsu:UTC";
        case Type::DATE: return "tdD";
    }
    return "n";
}

// One bit per byte that is not 0, lowest first.
inline std::vector<uint8_t> packed(const uint8_t* bytes, size_t count) {
    std::vector<uint8_t> bits((count + 7) / 8, 0);
    for (size_t place = 0; place < count; ++place) bits[place / 8] = static_cast<uint8_t>(bits[place / 8] | ((bytes[place] != 0) << (place % 8)));
    return bits;
}

inline ArrowArray finished(ArrayParts* parts, int64_t length, int64_t nulls, int64_t buffers) {
    ArrowArray array{};
    array.length = length;
    array.null_count = nulls;
    array.n_buffers = buffers;
    array.buffers = parts->buffers;
    array.n_children = static_cast<int64_t>(parts->children.size());
    for (ArrowArray& child : parts->children) parts->pointers.push_back(&child);
    array.children = parts->pointers.empty() ? nullptr : parts->pointers.data();
    array.release = release_array;
    array.private_data = parts;
    return array;
}

inline ArrowArray array_of(Column&& column) {
    ArrayParts* parts = new ArrayParts();
    column.data.fit();
    const size_t rows = column.valid.size();
    int64_t nulls = 0;
    for (size_t row = 0; row < rows; ++row) nulls += column.valid[row] == 0;
    if (nulls != 0) {
        parts->valid = packed(column.valid.data(), rows);
        parts->buffers[0] = parts->valid.data();
    }
    static const char nothing[16] = {};
    if (column.type == Type::TEXT || column.type == Type::BINARY) {
        parts->offsets.push_back(0);
        parts->offsets.append(column.ends.data(), column.ends.size());
        parts->data = std::move(column.data);
        parts->buffers[1] = parts->offsets.data();
        parts->buffers[2] = parts->data.empty() ? nothing : parts->data.data();
        return finished(parts, static_cast<int64_t>(rows), nulls, 3);
    }
    if (column.type == Type::BOOLEAN) {
        parts->bits = packed(reinterpret_cast<const uint8_t*>(column.data.data()), rows);
        parts->buffers[1] = parts->bits.empty() ? static_cast<const void*>(nothing) : parts->bits.data();
    } else {
        parts->data = std::move(column.data);
        parts->buffers[1] = parts->data.empty() ? nothing : parts->data.data();
    }
    return finished(parts, static_cast<int64_t>(rows), nulls, 2);
}

// Numbers without NULL, held by `parts`.
inline ArrowArray array_of(ArrayParts* parts, const void* numbers, size_t count) {
    static const int64_t nothing = 0;
    parts->buffers[1] = count == 0 ? &nothing : numbers;
    return finished(parts, static_cast<int64_t>(count), 0, 2);
}

inline ArrowArray array_of(Buffer<int32_t>&& numbers) {
    ArrayParts* parts = new ArrayParts();
    parts->parents = std::move(numbers);
    parts->parents.fit();
    return array_of(parts, parts->parents.data(), parts->parents.size());
}

inline ArrowArray array_of(Buffer<int64_t>&& numbers) {
    ArrayParts* parts = new ArrayParts();
    parts->places = std::move(numbers);
    parts->places.fit();
    return array_of(parts, parts->places.data(), parts->places.size());
}

// A struct of `parent`, `place` (of a child relation) and the columns, which are named by their slots.
inline void export_relation(Relation&& relation, bool child, ArrowSchema* schema, ArrowArray* array) {
    *schema = schema_of("+s", "");
    SchemaParts* names = static_cast<SchemaParts*>(schema->private_data);
    ArrayParts* parts = new ArrayParts();
    if (child) {
        names->children.push_back(schema_of("i", "parent"));
        names->children.push_back(schema_of("l", "place"));
        parts->children.push_back(array_of(std::move(relation.parents)));
        parts->children.push_back(array_of(std::move(relation.places)));
    }
    for (size_t slot = 0; slot < relation.columns.size(); ++slot) {
        names->children.push_back(schema_of(format_of(relation.columns[slot]), std::to_string(slot)));
        parts->children.push_back(array_of(std::move(relation.columns[slot])));
    }
    for (ArrowSchema& one : names->children) names->pointers.push_back(&one);
    schema->n_children = static_cast<int64_t>(names->children.size());
    schema->children = names->pointers.empty() ? nullptr : names->pointers.data();
    *array = finished(parts, relation.rows, 0, 1);
}

}  // namespace ddb
