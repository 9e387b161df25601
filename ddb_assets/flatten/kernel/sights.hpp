// What is seen at the nodes, with what a line added to it, so that a line that is handed back leaves no trace.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "plan.hpp"

namespace ddb {

class Sights {
  public:
    explicit Sights(size_t nodes) : seen_(nodes) {}

    void begin_line() {
        counted_.cut_to(0);
        former_.clear();
    }

    DDB_ASSETS_INLINE void see(int index, int what) {
        if (!recording || index < 0) return;
        ++seen_[static_cast<size_t>(index)].counts[what];
        counted_.push_back({index, what});
    }

    void size(int index, const Sizes& sizes) {
        if (!recording || index < 0) return;
        Sizes& most = seen_[static_cast<size_t>(index)].sizes;
        if (sizes.bytes <= most.bytes && sizes.whole <= most.whole && sizes.scale <= most.scale && sizes.bigint >= most.bigint) return;
        former_.push_back({index, most});
        most.bytes = std::max(most.bytes, sizes.bytes);
        most.whole = std::max(most.whole, sizes.whole);
        most.scale = std::max(most.scale, sizes.scale);
        most.bigint = most.bigint && sizes.bigint;
    }

    void undo_line() {
        for (size_t place = 0; place < counted_.size(); ++place) --seen_[static_cast<size_t>(counted_[place].node)].counts[counted_[place].what];
        for (size_t place = former_.size(); place-- != 0;) seen_[static_cast<size_t>(former_[place].node)].sizes = former_[place].sizes;
    }

    std::vector<Seen> taken() { return std::move(seen_); }

    bool recording = true;

  private:
    struct Counted {
        int32_t node, what;
    };
    struct Former {
        int node;
        Sizes sizes;
    };

    std::vector<Seen> seen_;
    Buffer<Counted> counted_;
    std::vector<Former> former_;  // sizes that the line has changed
};

}  // namespace ddb
