// The vendor's headers. Those that ship with open tools warn about themselves at -Wall -Wextra: a compiler
// that knows these pragmas takes them as the system's, so that every warning left is about this library.
#ifndef CASCADE_VENDOR_HPP
#define CASCADE_VENDOR_HPP

#if defined(__GNUC__) && !defined(__SYNTHESIS__)
#pragma GCC system_header
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif

#include "ap_int.h"
#include "hls_stream.h"

#if defined(__GNUC__) && !defined(__SYNTHESIS__)
#pragma GCC diagnostic pop
#endif

#endif
