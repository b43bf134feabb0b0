// What one DSP block multiplies at once. Two weights w, two operands a (elements of two positions), or both, share it:
//   (w[0] + w[1] * 2^weight_step) * (a[0] + a[1] * 2^operand_step) = sum of w[i] * a[j] * 2^(i*weight_step + j*operand_step)
// Products of several slots may be summed while every field below the highest one, with all that lies under it, stays
// within its bits. The bounds are exact: the extremes of the operands, not their widths.
// toolflow/numerics/packing.py is the same arithmetic.
package cascade_products_pkg;
  import cascade_pkg::*;

  // Where the fields lie. A step is 0 where one value is not followed by a second.
  typedef struct packed {
    logic       possible;
    logic       symmetric;  // the smallest weight, -2^(weight_bits - 1), is excluded
    logic [7:0] weight_step;
    logic [7:0] operand_step;
  } packing_t;

  function automatic int unsigned wide_bits(dsp_primitive_e block);
    return block == DspPrimitiveDsp48e2 ? 27 : block == DspPrimitiveDsp48e1 ? 25 : 18;
  endfunction

  function automatic int unsigned narrow_bits(dsp_primitive_e block);
    return block == DspPrimitiveNone ? 0 : 18;
  endfunction

  function automatic int unsigned sum_bits(dsp_primitive_e block);
    return block == DspPrimitiveMult18x18d ? 36 : 48;
  endfunction

  // Slots of a DSP column add to the sum of the slot before: each takes its operands one cycle later than that one.
  function automatic bit is_column(dsp_primitive_e block);
    return block == DspPrimitiveDsp48e1 || block == DspPrimitiveDsp48e2;
  endfunction

  // Cycles from the first slot's operands to the sums of the chain.
  function automatic int unsigned chain_latency(dsp_primitive_e block, int unsigned chain);
    return is_column(block) ? 3 + chain : (block == DspPrimitiveNone ? 2 : 3) + $clog2(chain);
  endfunction

  function automatic bit held(longint lower, longint upper, int unsigned bits);
    return lower >= -(64'sd1 <<< (bits - 1)) && upper < (64'sd1 <<< (bits - 1));
  endfunction

  // Whether fields of these steps hold the sums of `chain` products, with the weights or the operands on the wide port.
  function automatic bit fits(dsp_primitive_e block, int unsigned chain, longint weight_lower, longint weight_upper,
                              longint operand_lower, longint operand_upper, int unsigned weight_step,
                              int unsigned operand_step, bit weight_is_wide);
    int unsigned fields, spacing;
    longint weights, operands, corner, lower, upper, sum_lower, sum_upper;
    weights = weight_step == 0 ? 64'sd1 : (64'sd1 <<< weight_step) + 1;
    operands = operand_step == 0 ? 64'sd1 : (64'sd1 <<< operand_step) + 1;
    if (!held(weights * weight_lower, weights * weight_upper,
              weight_is_wide ? wide_bits(block) : narrow_bits(block))) return 1'b0;
    if (!held(operands * operand_lower, operands * operand_upper,
              weight_is_wide ? narrow_bits(block) : wide_bits(block))) return 1'b0;
    lower = weight_lower * operand_lower;
    upper = lower;
    for (int unsigned n = 1; n < 4; n++) begin
      corner = (n % 2 == 0 ? weight_lower : weight_upper) * (n / 2 == 0 ? operand_lower : operand_upper);
      if (corner < lower) lower = corner;
      if (corner > upper) upper = corner;
    end
    fields = (weight_step == 0 ? 1 : 2) * (operand_step == 0 ? 1 : 2);
    spacing = weight_step == 0 ? operand_step : operand_step == 0 || weight_step < operand_step ? weight_step : operand_step;
    sum_lower = 0;
    sum_upper = 0;
    for (int unsigned n = 0; n < fields; n++) begin
      sum_lower += (lower * longint'(chain)) <<< (n * spacing);
      sum_upper += (upper * longint'(chain)) <<< (n * spacing);
      if (!held(sum_lower, sum_upper, n == fields - 1 ? sum_bits(block) : (n + 1) * spacing)) return 1'b0;
    end
    return 1'b1;
  endfunction

  // The widest fields that hold chains so long: of all weights if there are any, else without the smallest one. Wide is
  // the operands' side where there are two of them, or one of each; else the weights' side.
  function automatic packing_t packing_of(dsp_primitive_e block, int unsigned pack_k, int unsigned pack_p,
                                          int unsigned chain, int unsigned weight_bits, longint operand_lower,
                                          longint operand_upper);
    packing_t packing;
    int unsigned weight_step, operand_step;
    longint half;
    half = 64'sd1 <<< (weight_bits - 1);
    packing = '0;
    for (int unsigned symmetric = 0; symmetric < 2; symmetric++) begin
      for (int unsigned spacing = wide_bits(block); spacing > 0; spacing--) begin
        weight_step = pack_k == 1 ? 0 : spacing;
        operand_step = pack_p == 1 ? 0 : spacing * pack_k;
        if (!packing.possible && fits(block, chain, longint'(symmetric) - half, half - 1, operand_lower,
                                      operand_upper, weight_step, operand_step, pack_k == 2 && pack_p == 1)) begin
          packing = '{possible: 1'b1, symmetric: symmetric == 1, weight_step: 8'(weight_step), operand_step: 8'(operand_step)};
        end
      end
    end
    return packing;
  endfunction

  // The same of two weights and two operands of `bits` bits each on a block whose weights lie on the wide port, as two
  // wider weights by one operand do: fields w[0]*a[0], w[0]*a[1], w[1]*a[0], w[1]*a[1], lowest first. All weights only.
  function automatic packing_t narrow_packing_of(dsp_primitive_e block, int unsigned chain, int unsigned bits);
    packing_t packing;
    longint half;
    half = 64'sd1 <<< (bits - 1);
    packing = '0;
    for (int unsigned spacing = wide_bits(block); spacing > 0; spacing--) begin
      if (!packing.possible && fits(block, chain, -half, half - 1, -half, 2 * half - 1, 2 * spacing, spacing, 1'b1)) begin
        packing = '{possible: 1'b1, symmetric: 1'b0, weight_step: 8'(2 * spacing), operand_step: 8'(spacing)};
      end
    end
    return packing;
  endfunction

  // All values of the multipliers' second operand: activations of either sign and, with tiles, those of the input
  // transform; of F(4, 3), whose operands fill a block alone, whatever their width holds.
  function automatic int least_operand(engine_t engine);
    return engine.tile == 4 ? -(1 << (operand_bits(engine) - 1)) : -((engine.tile == 2 ? 4 : 1) << (engine.activation_bits - 1));
  endfunction
  function automatic int greatest_operand(engine_t engine);
    return engine.tile == 4 ? (1 << (operand_bits(engine) - 1)) - 1 :
        (engine.tile == 2 ? 4 : 1) * ((1 << engine.activation_bits) - 1);
  endfunction

  function automatic bit packed_products(engine_t engine);
    return engine.pack_k * engine.pack_p > 1;
  endfunction

  // Lanes whose operands share a block, in either precision, and from one of them to the next.
  function automatic int unsigned packed_lanes(engine_t engine);
    return two_precisions(engine) ? 2 : engine.pack_p;
  endfunction
  function automatic int unsigned packed_lane_step(engine_t engine);
    return two_precisions(engine) ? wide_lanes(engine) : 1;
  endfunction

  // Where the products of one block lie, in the wide precision if there are two; of engines that leave their multipliers to synthesis, anywhere.
  function automatic packing_t array_packing(engine_t engine);
    packing_t packing;
    packing = '{possible: 1'b1, symmetric: 1'b0, weight_step: '0, operand_step: '0};
    if (engine.dsp_primitive == DspPrimitiveNone) return packing;
    return packing_of(engine.dsp_primitive, engine.pack_k, engine.pack_p, engine.chain, engine.weight_bits,
                      longint'(least_operand(engine)), longint'(greatest_operand(engine)));
  endfunction

  // Cycles from a step's word and row to a slot's weights and operands: a slot of a chain takes them later than the one
  // before. Elements of two precisions are chosen in a cycle of their own, of which the precision is a part.
  function automatic int unsigned slot_delay(engine_t engine, int unsigned slot);
    return (is_column(engine.dsp_primitive) ? slot % engine.chain : 0) + (two_precisions(engine) ? 1 : 0);
  endfunction

  // Elements that are chosen for each lane and slot: one for every `index_k` channels, or one for all of them.
  function automatic int unsigned choices(engine_t engine);
    return engine.gather ? engine.lanes_k / engine.index_k : 1;
  endfunction

  // Cycles from a step's word and row to the sum over all slots.
  function automatic int unsigned sums_latency(engine_t engine);
    return slot_delay(engine, 0) + chain_latency(engine.dsp_primitive, engine.chain) + $clog2(engine.slots / engine.chain);
  endfunction

endpackage
