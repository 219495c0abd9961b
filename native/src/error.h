// A caller's error, with a message for lavra_error().

#pragma once

#include <stdexcept>

namespace lavra {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

} // namespace lavra
