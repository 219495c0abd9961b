// Additions to a finished model: low-rank changes of matrices, virtual tokens, prefixes.

#include <algorithm>

#include "model.h"
#include "tensors.h"

namespace lavra {

int Model::add_adapter() {
    adapters.emplace_back();
    return int(adapters.size()) - 1;
}

void Model::adapt(int number, const std::string &name, const lavra_tensor &down, const lavra_tensor &up, float scale) {
    const auto found = places_.find(name);
    if (found == places_.end() || !found->second.matrix) throw Error("the model has no matrix " + name);
    if (number < 0 || number >= int(adapters.size())) throw Error("there is no adapter " + std::to_string(number));
    const Place &place = found->second;
    check_range("the rank", down.rows, 1, 1 << 16);
    auto change = std::make_unique<LowRank>();
    change->scale = scale, change->first = place.first;
    pack_floats(change->down, name + ", down", down, down.rows, place.columns);
    pack_floats(change->up, name + ", up", up, place.rows, down.rows);
    adapters[number].rank = std::max(adapters[number].rank, int(down.rows));
    adapters[number].changes[place.matrix].push_back(std::move(change));
}

void Model::pack_floats(PackedMatrix &matrix, const std::string &name, const lavra_tensor &tensor, int rows,
                        int columns) {
    if (tensor.rows != rows || tensor.columns != columns)
        throw Error(name + " has shape " + shape(tensor.rows, tensor.columns) + "; it must be " + shape(rows, columns));
    if (is_integer(tensor.type)) throw Error(name + " holds integers; give floats");
    check_tensor(name, tensor);
    matrix.rows = rows, matrix.columns = columns;
    allocate(matrix, Precision::f32);
    kernels.pack(matrix, 0, Source{tensor.type, rows, columns, 0, tensor.data, nullptr});
}

void Model::add_virtual(const lavra_tensor &rows) {
    if (rows.columns != config.hidden_size || rows.rows < 1)
        throw Error("virtual tokens have shape " + shape(rows.rows, rows.columns) + "; they need " +
                    std::to_string(config.hidden_size) + " columns");
    if (is_integer(rows.type)) throw Error("virtual tokens hold integers; give floats");
    check_tensor("virtual tokens", rows);
    const size_t before = virtual_rows.size();
    virtual_rows.resize(before + size_t(rows.rows) * rows.columns);
    copy_numbers(rows, virtual_rows.data() + before);
}

void Model::add_prefix(const lavra_tensor &pairs) {
    const int layers = int(decoder.layers.size());
    if (layers == 0) throw Error("an encoder keeps no keys and values, so it has no prefix");
    if (pairs.columns != narrow() || pairs.rows < 1 || pairs.rows % (2 * layers))
        throw Error("a prefix's pairs have shape " + shape(pairs.rows, pairs.columns) + "; they need a multiple of " +
                    std::to_string(2 * layers) + " rows of " + std::to_string(narrow()));
    if (is_integer(pairs.type)) throw Error("a prefix's pairs hold integers; give floats");
    check_tensor("a prefix's pairs", pairs);
    Prefix prefix{num_ids(), pairs.rows / (2 * layers), std::vector<float>(size_t(pairs.rows) * pairs.columns)};
    copy_numbers(pairs, prefix.pairs.data());
    virtual_rows.resize(virtual_rows.size() + size_t(prefix.count) * config.hidden_size);
    prefixes.push_back(std::move(prefix));
}

} // namespace lavra
