// A growing array of plain values that leaves new room as it is: unlike std::vector it does not write zeros first.
#pragma once

#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace ddb {

template <typename T>
class Buffer {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    Buffer() = default;
    Buffer(Buffer&& other) noexcept : data_(other.data_), size_(other.size_), room_(other.room_) {
        other.data_ = nullptr;
        other.size_ = other.room_ = 0;
    }
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(room_, other.room_);
        return *this;
    }
    ~Buffer() { std::free(data_); }

    T* data() { return data_; }
    const T* data() const { return data_; }
    size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    T& operator[](size_t place) { return data_[place]; }
    const T& operator[](size_t place) const { return data_[place]; }
    const T& back() const { return data_[size_ - 1]; }

    // Room for so many more; the caller fills it.
    T* grow(size_t more) {
        if (__builtin_expect(room_ - size_ < more, 0)) reserve(size_ + more);
        T* begin = data_ + size_;
        size_ += more;
        return begin;
    }

    void push_back(T value) { *grow(1) = value; }

    void append(const T* values, size_t count) {
        if (count != 0) std::memcpy(grow(count), values, count * sizeof(T));
    }

    void fill_to(size_t size, T value) {
        if (size <= size_) return;
        const size_t more = size - size_;
        T* at = grow(more);
        for (size_t place = 0; place < more; ++place) at[place] = value;
    }

    // Gives back the room that is not used.
    void fit() {
        if (size_ == 0 || size_ == room_) return;
        void* moved = std::realloc(data_, size_ * sizeof(T));
        if (moved == nullptr) return;
        data_ = static_cast<T*>(moved);
        room_ = size_;
    }

    void cut_to(size_t size) {
        if (size < size_) size_ = size;
    }

  private:
    __attribute__((noinline)) void reserve(size_t wanted) {
        size_t room = room_ < 32 ? 64 : room_ * 2;
        if (room < wanted) room = wanted;
        void* moved = std::realloc(data_, room * sizeof(T));
        if (moved == nullptr) throw std::bad_alloc();
        data_ = static_cast<T*>(moved);
        room_ = room;
    }

    T* data_ = nullptr;
    size_t size_ = 0, room_ = 0;
};

}  // namespace ddb
