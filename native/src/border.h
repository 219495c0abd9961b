// The border of the C interface: no exception passes it, and no pointer is followed that the caller may not have set.

#pragma once

#include <new>
#include <string>

#include "error.h"

namespace lavra {

inline thread_local std::string error_text; // lavra_error() returns it

// 0, or 1 where the body throws.
template <class Body> int guarded(Body &&body) {
    try {
        body();
        return 0;
    } catch (const std::bad_alloc &) {
        error_text = "there is not enough memory";
    } catch (const std::exception &error) {
        error_text = error.what();
    }
    return 1;
}

// The object that a pointer points to; throws Error where the pointer is null.
template <class Given> Given &required(Given *pointer, const char *what) {
    if (pointer == nullptr) throw Error(std::string("there is no ") + what + ": the pointer is null");
    return *pointer;
}

} // namespace lavra
