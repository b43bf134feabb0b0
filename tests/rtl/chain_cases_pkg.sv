// The longest chain of each packing that the engine takes: what the benches and the proofs go through.
package chain_cases_pkg;
  import cascade_pkg::*;
  import cascade_products_pkg::*;

  typedef struct packed {
    dsp_primitive_e block;
    int         pack_k;
    int         pack_p;
    int         chain;
    int         weight_bits;
    int         operand_bits;
    int         lower;  // least operand
    int         upper;
  } chain_case_t;

  localparam int Cases = 12;
  localparam chain_case_t Case[Cases] = '{
    '{DspPrimitiveDsp48e2, 1, 2, 4, 8, 9, -128, 255},
    '{DspPrimitiveDsp48e2, 2, 1, 4, 8, 9, -128, 255},
    '{DspPrimitiveDsp48e2, 2, 1, 8, 8, 9, -128, 255},
    '{DspPrimitiveDsp48e2, 2, 1, 2, 8, 11, -512, 1020},
    '{DspPrimitiveDsp48e2, 2, 2, 8, 4, 5, -8, 15},
    '{DspPrimitiveDsp48e2, 1, 1, 8, 8, 16, -32768, 32767},
    '{DspPrimitiveDsp48e1, 1, 2, 1, 8, 9, -128, 255},
    '{DspPrimitiveDsp48e1, 2, 1, 2, 8, 9, -128, 255},
    '{DspPrimitiveDsp48e1, 2, 2, 4, 4, 5, -8, 15},
    '{DspPrimitiveDsp48e1, 1, 1, 8, 8, 16, -32768, 32767},
    '{DspPrimitiveMult18x18d, 1, 2, 4, 5, 6, -16, 31},
    '{DspPrimitiveMult18x18d, 2, 1, 8, 4, 5, -8, 15}
  };
  // Of these, benches go through all combinations of all values.
  localparam chain_case_t Narrow[2] = '{
    '{DspPrimitiveDsp48e2, 1, 2, 2, 2, 3, -2, 3},
    '{DspPrimitiveDsp48e1, 2, 2, 1, 3, 4, -4, 7}
  };

  // Engines of two precisions: two weights of 8 bits by one operand, or of `narrow` bits by two.
  typedef struct packed {
    dsp_primitive_e block;
    int chain;
    int weight_bits;
    int narrow_bits;
  } two_case_t;
  localparam int Twos = 6;
  localparam two_case_t Two[Twos] = '{
    '{DspPrimitiveDsp48e2, 1, 8, 4},
    '{DspPrimitiveDsp48e2, 2, 8, 4},
    '{DspPrimitiveDsp48e2, 4, 8, 4},
    '{DspPrimitiveDsp48e2, 8, 8, 4},
    '{DspPrimitiveDsp48e1, 1, 8, 4},
    '{DspPrimitiveDsp48e1, 2, 8, 4}
  };
  // Of these, proofs and benches go through all values.
  localparam two_case_t NarrowTwo[2] = '{
    '{DspPrimitiveDsp48e2, 2, 2, 1},
    '{DspPrimitiveDsp48e1, 1, 4, 3}
  };

  function automatic packing_t two_packing(two_case_t which);
    return packing_of(which.block, 2, 1, which.chain, which.weight_bits, -(64'sd1 <<< (which.weight_bits - 1)),
                      (64'sd1 <<< which.weight_bits) - 1);
  endfunction
  function automatic packing_t two_narrow_packing(two_case_t which);
    return narrow_packing_of(which.block, which.chain, which.narrow_bits);
  endfunction

  function automatic packing_t case_packing(chain_case_t which);
    return packing_of(which.block, which.pack_k, which.pack_p, which.chain, which.weight_bits, longint'(which.lower),
                      longint'(which.upper));
  endfunction
  // The least weight that the packing takes.
  function automatic int least_weight(chain_case_t which);
    return -(1 << (which.weight_bits - 1)) + 32'(case_packing(which).symmetric);
  endfunction
  function automatic int sum_width(chain_case_t which);
    return which.weight_bits + which.operand_bits + $clog2(which.chain);
  endfunction
endpackage
