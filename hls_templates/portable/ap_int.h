// What of ap_int.h every HLS compiler takes, as declarations: the check of emitted sources parses with them,
// so that whatever else is used does not compile. No definitions: nothing is ever linked.
#pragma once

template <int Width>
struct ap_uint;
template <int Width>
struct ap_int;

// A range of bits is read through a cast and written by assignment.
struct ap_bits {
  template <int Width>
  ap_bits& operator=(const ap_uint<Width>& value);
};

template <int Width>
struct ap_uint {
  ap_uint();
  ap_uint(long long value);
  template <int Other>
  ap_uint(const ap_uint<Other>& value);
  template <int Other>
  ap_uint(const ap_int<Other>& value);
  explicit ap_uint(ap_bits bits);
  operator unsigned long long() const;
  template <class Value>
  ap_uint& operator+=(Value value);
  template <class Value>
  ap_uint& operator|=(Value value);
  ap_bits range(int high, int low) const;
  ap_bits operator[](int position) const;
};

template <int Width>
struct ap_int {
  ap_int();
  ap_int(long long value);
  template <int Other>
  ap_int(const ap_int<Other>& value);
  template <int Other>
  ap_int(const ap_uint<Other>& value);
  explicit ap_int(ap_bits bits);
  operator long long() const;
  template <class Value>
  ap_int& operator+=(Value value);
  ap_bits range(int high, int low) const;
  ap_bits operator[](int position) const;
};
