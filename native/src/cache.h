// Keys and values of a stack's layers, in blocks of tokens.
//
// A block's keys and values of all layers lie side by side, so that a text's memory is in as many huge pages as it fills:
//
//     [block][layer][keys, values]            the layout of LayerCache (kernels.h) for one block, 2 * layers times
//     [block][layer][keys, values] of int8's scales, and of its middles
//
// The kernels see one layer at a time: its keys begin at those of block 0, and block b is its `place(b)`-th.  (Layer
// by layer, the first token of SmolLM2 touched 60 huge pages, 120 MB; with this layout it touches one.)

#pragma once

#include <vector>

#include "kernels.h"
#include "memory.h"

namespace lavra {

// Keys and values of one token and layer.
struct CacheShape {
    CacheType type;
    int num_kv_heads, channels;
};

class Cache {
public:
    Cache() = default;
    Cache(const CacheShape &shape, int num_layers, int num_blocks);

    LayerCache &layer(int number) { return layers_[number]; }
    int num_blocks() const { return num_blocks_; }
    // The kernels' number of a block.
    int32_t place(int32_t block) const { return block * pieces_; }
    void copy(int from, int to);
    // The number of all blocks, used or not.
    size_t bytes() const { return memory_.bytes() + scales_.bytes() + middles_.bytes(); }

private:
    int num_blocks_ = 0, pieces_ = 0;           // pieces of a block: keys and values of each layer
    size_t piece_bytes_ = 0, piece_scales_ = 0; // floats of scales
    Memory memory_, scales_, middles_;
    std::vector<LayerCache> layers_;
};

} // namespace lavra
