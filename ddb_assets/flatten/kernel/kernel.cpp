// The module `_kernel`: a plan is compiled once, and decodes blocks of lines without Python's lock.
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "arrow.hpp"
#include "decode.hpp"

namespace {

using namespace ddb;

// A Python object that is released at the end of the block.
struct Held {
    PyObject* object;
    explicit Held(PyObject* found) : object(found) {}
    ~Held() { Py_XDECREF(object); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
};

// Thrown where Python has an error set.
struct PythonError {};

PyObject* item(PyObject* tuple, Py_ssize_t place) {
    PyObject* found = PyTuple_GetItem(tuple, place);
    if (found == nullptr) throw PythonError();
    return found;
}

Py_ssize_t size(PyObject* tuple) {
    const Py_ssize_t count = PyTuple_Size(tuple);
    if (count < 0) throw PythonError();
    return count;
}

int64_t number(PyObject* object) {
    const long long value = PyLong_AsLongLong(object);
    if (value == -1 && PyErr_Occurred() != nullptr) throw PythonError();
    return value;
}

int small(PyObject* object) { return static_cast<int>(number(object)); }

std::string text(PyObject* object) {
    char* bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(object, &bytes, &length) < 0) throw PythonError();
    return std::string(bytes, static_cast<size_t>(length));
}

// The order of the members is that of `spec.py`.
Node node_of(PyObject* spec) {
    Node node;
    Py_ssize_t at = 0;
    const auto next = [&] { return item(spec, at++); };
    const std::string actions = text(next());
    if (actions.size() != DESCRIPTORS) throw std::runtime_error("a node has an action for each descriptor");
    for (int found = 0; found < DESCRIPTORS; ++found) node.actions[found] = static_cast<Action>(actions[static_cast<size_t>(found)]);
    node.type = static_cast<Type>(small(next()));
    node.precision = small(next());
    node.scale = small(next());
    node.limit = number(next());
    node.form.kind = static_cast<Form::Kind>(small(next()));
    node.form.joint = static_cast<char>(small(next()));
    node.form.digits = static_cast<uint8_t>(small(next()));
    node.form.zone = static_cast<uint8_t>(small(next()));
    node.loose = small(next()) != 0;
    node.epochs = small(next()) != 0;
    node.mask = static_cast<Mask>(small(next()));
    node.key_attribute = small(next()) != 0;
    node.omitted = small(next()) != 0;
    node.open = small(next()) != 0;
    node.column = small(next());
    node.relation = small(next());
    node.element = small(next());
    node.other = small(next());
    node.misfit = small(next());
    node.path = text(next());
    node.key = text(next());
    PyObject* names = next();
    PyObject* fields = next();
    for (Py_ssize_t field = 0; field < size(names); ++field) {
        node.names.push_back(text(item(names, field)));
        node.fields.push_back(small(item(fields, field)));
    }
    return node;
}

Plan plan_of(PyObject* spec) {
    Plan plan;
    PyObject* nodes = item(spec, 0);
    for (Py_ssize_t place = 0; place < size(nodes); ++place) plan.nodes.push_back(node_of(item(nodes, place)));
    plan.index();
    PyObject* relations = item(spec, 1);
    for (Py_ssize_t place = 0; place < size(relations); ++place) {
        PyObject* columns = item(relations, place);
        Relation relation;
        for (Py_ssize_t slot = 0; slot < size(columns); ++slot) {
            PyObject* one = item(columns, slot);
            relation.columns.emplace_back(static_cast<Type>(small(item(one, 0))), small(item(one, 1)), small(item(one, 2)));
        }
        plan.relations.push_back(std::move(relation));
    }
    PyObject* key = item(spec, 2);
    for (Py_ssize_t place = 0; place < size(key); ++place) {
        PyObject* one = item(key, place);
        plan.key.push_back({text(item(one, 0)), small(item(one, 1)), small(item(one, 2)), small(item(one, 3)) != 0});
    }
    plan.misfits = small(item(spec, 3));
    plan.incremental = small(item(spec, 4)) != 0;
    plan.first = number(item(spec, 5));
    plan.last = number(item(spec, 6));
    plan.version = small(item(spec, 7));
    plan.deleted = small(item(spec, 8));
    plan.secret = text(item(spec, 9));
    return plan;
}

// Flattening reads blocks of a few MB, and a line has at most 16 MB.
constexpr Py_ssize_t MAX_BLOCK = 128 << 20;
constexpr const char* PLAN = "ddb_assets.kernel.plan";

void free_plan(PyObject* capsule) { delete static_cast<Plan*>(PyCapsule_GetPointer(capsule, PLAN)); }

void free_schema(PyObject* capsule) {
    ArrowSchema* schema = static_cast<ArrowSchema*>(PyCapsule_GetPointer(capsule, "arrow_schema"));
    if (schema->release != nullptr) schema->release(schema);
    delete schema;
}

void free_array(PyObject* capsule) {
    ArrowArray* array = static_cast<ArrowArray*>(PyCapsule_GetPointer(capsule, "arrow_array"));
    if (array->release != nullptr) array->release(array);
    delete array;
}

PyObject* relation_to_python(Relation&& relation, bool child) {
    ArrowSchema* schema = new ArrowSchema{};
    Held first(PyCapsule_New(schema, "arrow_schema", free_schema));
    if (first.object == nullptr) {
        delete schema;
        throw PythonError();
    }
    ArrowArray* array = new ArrowArray{};
    Held second(PyCapsule_New(array, "arrow_array", free_array));
    if (second.object == nullptr) {
        delete array;
        throw PythonError();
    }
    export_relation(std::move(relation), child, schema, array);
    PyObject* pair = PyTuple_Pack(2, first.object, second.object);
    if (pair == nullptr) throw PythonError();
    return pair;
}

void append(PyObject* list, PyObject* object) {
    Held held(object);
    if (object == nullptr || PyList_Append(list, object) < 0) throw PythonError();
}

PyObject* to_python(Decoded&& decoded) {
    Held relations(PyList_New(0)), seen(PyList_New(0)), misfits(PyList_New(0)), back(PyList_New(0));
    if (!relations.object || !seen.object || !misfits.object || !back.object) throw PythonError();
    for (size_t place = 0; place < decoded.relations.size(); ++place) {
        append(relations.object, relation_to_python(std::move(decoded.relations[place]), place != 0));
    }
    for (const Seen& one : decoded.seen) {
        Held counts(PyTuple_New(DESCRIPTORS));
        if (counts.object == nullptr) throw PythonError();
        for (int found = 0; found < DESCRIPTORS; ++found) {
            PyObject* count = PyLong_FromLongLong(one.counts[found]);
            if (count == nullptr || PyTuple_SetItem(counts.object, found, count) < 0) throw PythonError();
        }
        append(seen.object, Py_BuildValue("(OLLLLi)", counts.object, one.sizes.bytes, one.sizes.whole, one.sizes.scale, one.counts[FORMED], one.sizes.bigint ? 1 : 0));
    }
    for (const int64_t count : decoded.misfits) append(misfits.object, PyLong_FromLongLong(count));
    for (const Back& one : decoded.back) {
        append(back.object, Py_BuildValue("(LLLi)", static_cast<long long>(one.line), static_cast<long long>(one.begin),
                                          static_cast<long long>(one.end), static_cast<int>(one.reason)));
    }
    PyObject* result = Py_BuildValue("(OOOOLLLL)", relations.object, seen.object, misfits.object, back.object,
                                     static_cast<long long>(decoded.lines), static_cast<long long>(decoded.deletes),
                                     static_cast<long long>(decoded.passed), static_cast<long long>(decoded.end));
    if (result == nullptr) throw PythonError();
    return result;
}

// Runs `body`; what it throws becomes Python's error.
template <typename Body>
PyObject* guarded(Body body) {
    try {
        return body();
    } catch (const PythonError&) {
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    }
    return nullptr;
}

PyObject* compile_plan(PyObject*, PyObject* spec) {
    return guarded([&] {
        Plan* plan = new Plan(plan_of(spec));
        PyObject* capsule = PyCapsule_New(plan, PLAN, free_plan);
        if (capsule == nullptr) {
            delete plan;
            throw PythonError();
        }
        return capsule;
    });
}

PyObject* decode(PyObject*, PyObject* arguments) {
    PyObject *capsule, *block;
    long long cells;
    if (!PyArg_ParseTuple(arguments, "OOL:decode", &capsule, &block, &cells)) return nullptr;
    const Plan* plan = static_cast<const Plan*>(PyCapsule_GetPointer(capsule, PLAN));
    if (plan == nullptr) return nullptr;
    Py_buffer view;
    if (PyObject_GetBuffer(block, &view, PyBUF_SIMPLE) < 0) return nullptr;
    if (view.len > MAX_BLOCK) {
        PyBuffer_Release(&view);
        PyErr_SetString(PyExc_ValueError, "a block has more than 128 MB");
        return nullptr;
    }
    PyObject* result = guarded([&] {
        Decoded decoded;
        std::exception_ptr failed;
        Py_BEGIN_ALLOW_THREADS
        try {
            const char* begin = static_cast<const char*>(view.buf);
            decoded = Decoder(*plan, begin, begin + view.len, cells).run();
        } catch (...) {
            failed = std::current_exception();
        }
        Py_END_ALLOW_THREADS
        if (failed) std::rethrow_exception(failed);
        return to_python(std::move(decoded));
    });
    PyBuffer_Release(&view);
    return result;
}

PyObject* count(PyObject*, PyObject* block) {
    Py_buffer view;
    if (PyObject_GetBuffer(block, &view, PyBUF_SIMPLE) < 0) return nullptr;
    const char* begin = static_cast<const char*>(view.buf);
    const int64_t names = count_names(begin, begin + view.len);
    PyBuffer_Release(&view);
    return PyLong_FromLongLong(names);
}

PyObject* newlines(PyObject*, PyObject* block) {
    Py_buffer view;
    if (PyObject_GetBuffer(block, &view, PyBUF_SIMPLE) < 0) return nullptr;
    int64_t count = 0;
    Py_BEGIN_ALLOW_THREADS
    const char* bytes = static_cast<const char*>(view.buf);
    for (Py_ssize_t place = 0; place < view.len; ++place) count += bytes[place] == '\n';
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    return PyLong_FromLongLong(count);
}

PyMethodDef METHODS[] = {
    {"compile_plan", compile_plan, METH_O, "A plan from the tuples of `spec.py`."},
    {"decode", decode, METH_VARARGS, "Relations, sights, misfits, lines handed back, lines, deletes, lines with blank ones, and the end of what was read."},
    {"count_names", count, METH_O, "How many names the objects of a line have; -1 where a string has no end."},
    {"count_newlines", newlines, METH_O, "How many newlines a block has."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_kernel", "Decodes blocks of DynamoDB JSON.", 0, METHODS, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__kernel() {
    PyObject* module = PyModule_Create(&MODULE);
    if (module == nullptr) return nullptr;
    const bool added = PyModule_AddIntConstant(module, "LAYOUT", ddb::LAYOUT) == 0 &&
                       PyModule_AddIntConstant(module, "NO_KEY", static_cast<long>(Reason::NO_KEY)) == 0;
    if (!added) {
        Py_DECREF(module);
        return nullptr;
    }
    return module;
}
