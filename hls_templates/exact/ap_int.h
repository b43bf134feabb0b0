// ap_int.h for the check of initiation intervals: integers of exactly their width, as LLVM sees them. Widths of results
// are the vendor's: a sum has one bit more than its operands, a product as many as both, a shift its left operand's.
#pragma once

template <int Width, bool Signed>
struct ap_raw {
  typedef _BitInt(Width) type;
};
template <int Width>
struct ap_raw<Width, false> {
  typedef unsigned _BitInt(Width) type;
};

template <int Width>
struct ap_uint;
template <int Width>
struct ap_int;
template <int Width, bool Signed>
struct ap_of {
  typedef ap_int<Width> type;
};
template <int Width>
struct ap_of<Width, false> {
  typedef ap_uint<Width> type;
};

// Width and sign of whatever may be an operand.
template <class Value>
struct ap_traits {
  static constexpr bool known = false;
};
template <int Width, bool Signed>
struct ap_width {
  static constexpr bool known = true;
  static constexpr int width = Width;
  static constexpr bool is_signed = Signed;
};
template <>
struct ap_traits<bool> : ap_width<1, false> {};
template <>
struct ap_traits<char> : ap_width<8, true> {};
template <>
struct ap_traits<signed char> : ap_width<8, true> {};
template <>
struct ap_traits<unsigned char> : ap_width<8, false> {};
template <>
struct ap_traits<short> : ap_width<16, true> {};
template <>
struct ap_traits<unsigned short> : ap_width<16, false> {};
template <>
struct ap_traits<int> : ap_width<32, true> {};
template <>
struct ap_traits<unsigned int> : ap_width<32, false> {};
template <>
struct ap_traits<long> : ap_width<64, true> {};
template <>
struct ap_traits<unsigned long> : ap_width<64, false> {};
template <>
struct ap_traits<long long> : ap_width<64, true> {};
template <>
struct ap_traits<unsigned long long> : ap_width<64, false> {};
template <int Width>
struct ap_traits<ap_int<Width> > : ap_width<Width, true> {};
template <int Width>
struct ap_traits<ap_uint<Width> > : ap_width<Width, false> {};

template <class Value>
inline typename ap_raw<ap_traits<Value>::width, ap_traits<Value>::is_signed>::type ap_get(const Value& value) {
  return value;
}
template <int Width>
inline typename ap_raw<Width, true>::type ap_get(const ap_int<Width>& value) {
  return value.raw;
}
template <int Width>
inline typename ap_raw<Width, false>::type ap_get(const ap_uint<Width>& value) {
  return value.raw;
}

// A range of bits is read through a cast and written by assignment.
template <class Raw>
struct ap_bits {
  Raw& raw;
  int high;
  int low;
  template <int Width>
  ap_bits& operator=(const ap_uint<Width>& value) {
    const Raw mask = static_cast<Raw>(static_cast<typename ap_raw<Width, false>::type>(-1)) << low;
    raw = (raw & ~mask) | static_cast<Raw>(value.raw) << low;
    return *this;
  }
};

#define AP_MEMBERS(Name, Signed)                                                                   \
  typedef typename ap_raw<Width, Signed>::type Raw;                                                \
  Raw raw;                                                                                         \
  Name() = default;                                                                                \
  template <class Value, int = ap_traits<Value>::width>                                            \
  Name(const Value& value) : raw(static_cast<Raw>(ap_get(value))) {}                               \
  template <class Other>                                                                           \
  explicit Name(const ap_bits<Other>& bits) : raw(static_cast<Raw>(bits.raw >> bits.low)) {}       \
  template <class Value>                                                                           \
  Name& operator+=(const Value& value) {                                                           \
    raw = static_cast<Raw>((*this + value).raw);                                                   \
    return *this;                                                                                  \
  }                                                                                                \
  template <class Value>                                                                           \
  Name& operator|=(const Value& value) {                                                           \
    raw = static_cast<Raw>((*this | value).raw);                                                   \
    return *this;                                                                                  \
  }                                                                                                \
  ap_bits<Raw> range(int high, int low) { return ap_bits<Raw>{raw, high, low}; }                   \
  ap_bits<const Raw> range(int high, int low) const { return ap_bits<const Raw>{raw, high, low}; } \
  ap_bits<Raw> operator[](int at) { return ap_bits<Raw>{raw, at, at}; }                            \
  ap_bits<const Raw> operator[](int at) const { return ap_bits<const Raw>{raw, at, at}; }

template <int Width>
struct ap_uint {
  AP_MEMBERS(ap_uint, false)
  operator unsigned long long() const { return static_cast<unsigned long long>(raw); }
};
template <int Width>
struct ap_int {
  AP_MEMBERS(ap_int, true)
  operator long long() const { return static_cast<long long>(raw); }
};

template <class Value>
struct ap_is {
  static constexpr bool value = false;
};
template <int Width>
struct ap_is<ap_int<Width> > {
  static constexpr bool value = true;
};
template <int Width>
struct ap_is<ap_uint<Width> > {
  static constexpr bool value = true;
};

// Two operands, of which one is of these types: what they have in common, and what comes of them.
template <class A, class B, bool = (ap_is<A>::value || ap_is<B>::value) && ap_traits<A>::known && ap_traits<B>::known>
struct ap_pair {};
template <class A, class B>
struct ap_pair<A, B, true> {
  typedef ap_traits<A> L;
  typedef ap_traits<B> R;
  static constexpr bool is_signed = L::is_signed || R::is_signed;
  static constexpr int left = L::width + (is_signed && !L::is_signed ? 1 : 0);
  static constexpr int right = R::width + (is_signed && !R::is_signed ? 1 : 0);
  static constexpr int width = left > right ? left : right;
  typedef typename ap_of<width, is_signed>::type Bits;
  typedef typename ap_of<width + 1, is_signed>::type Sum;
  typedef typename ap_of<width + 1, true>::type Difference;
  typedef typename ap_of<L::width + R::width, is_signed>::type Product;
  typedef typename ap_of<L::width, L::is_signed>::type Shifted;
  typedef bool Truth;
};

#define AP_OPERATOR(Operator, Result)                                                              \
  template <class A, class B>                                                                      \
  inline typename ap_pair<A, B>::Result operator Operator(const A& a, const B& b) {                \
    typename ap_pair<A, B>::Result result;                                                         \
    result.raw = static_cast<decltype(result.raw)>(ap_get(a)) Operator static_cast<decltype(result.raw)>(ap_get(b)); \
    return result;                                                                                 \
  }
AP_OPERATOR(+, Sum)
AP_OPERATOR(-, Difference)
AP_OPERATOR(*, Product)
AP_OPERATOR(&, Bits)
AP_OPERATOR(|, Bits)
AP_OPERATOR(^, Bits)

#define AP_SHIFT(Operator)                                                                         \
  template <class A, class B>                                                                      \
  inline typename ap_pair<A, B>::Shifted operator Operator(const A& a, const B& b) {               \
    typename ap_pair<A, B>::Shifted result;                                                        \
    result.raw = static_cast<decltype(result.raw)>(ap_get(a) Operator static_cast<unsigned int>(ap_get(b))); \
    return result;                                                                                 \
  }
AP_SHIFT(<<)
AP_SHIFT(>>)

#define AP_COMPARISON(Operator)                                                                    \
  template <class A, class B>                                                                      \
  inline typename ap_pair<A, B>::Truth operator Operator(const A& a, const B& b) {                 \
    typedef typename ap_pair<A, B>::Bits Bits;                                                     \
    return static_cast<typename Bits::Raw>(ap_get(a)) Operator static_cast<typename Bits::Raw>(ap_get(b)); \
  }
AP_COMPARISON(==)
AP_COMPARISON(!=)
AP_COMPARISON(<)
AP_COMPARISON(<=)
AP_COMPARISON(>)
AP_COMPARISON(>=)

#undef AP_MEMBERS
#undef AP_OPERATOR
#undef AP_SHIFT
#undef AP_COMPARISON
