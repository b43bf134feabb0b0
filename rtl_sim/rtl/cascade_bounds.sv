// What the engine's parameters may be, as toolflow.engine.config.EngineConfig has it: elaboration stops at what is not.
// Checks only: no ports, no logic.
module cascade_bounds
  import cascade_pkg::*;
  import cascade_products_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine
) ();
  function automatic bit is_power_of_two(int unsigned value);
    return value != 0 && (value & (value - 1)) == 0;
  endfunction

  if (Engine.lanes_k < 1 || Engine.lanes_k > 512 || Engine.lanes_p < 1 || Engine.lanes_p > 128) begin : g_check_1
    $fatal(1, "cascade_engine: lanes_k must be 1 to 512 and lanes_p 1 to 128, not %0d and %0d",
           Engine.lanes_k, Engine.lanes_p);
  end
  if (Engine.bank_depth < 1 || Engine.bank_depth > 1 << 20 ||
      Engine.weight_depth < 1 || Engine.weight_depth > 1 << 16) begin : g_check_2
    $fatal(1, "cascade_engine: bank_depth must be 1 to 2^20 and weight_depth 1 to 2^16, not %0d and %0d",
           Engine.bank_depth, Engine.weight_depth);
  end
  if (!is_power_of_two(Engine.sub_row) || Engine.sub_row * 8 > Engine.bus_bits) begin : g_check_3
    $fatal(1, "cascade_engine: sub_row must be a power of two of at most bus_bits / 8 = %0d, not %0d",
           Engine.bus_bits / 8, Engine.sub_row);
  end
  if (!is_power_of_two(Engine.slots) || Engine.slots > Engine.sub_row) begin : g_check_4
    $fatal(1, "cascade_engine: slots must be a power of two of at most sub_row = %0d, not %0d",
           Engine.sub_row, Engine.slots);
  end
  if (Engine.drain_k < 1 || granule_channels(Engine) % maximum(Engine.drain_k, 1) != 0) begin : g_check_5
    $fatal(1, "cascade_engine: drain_k must divide gcd(lanes_k, sub_row) = %0d, not be %0d",
           granule_channels(Engine), Engine.drain_k);
  end
  if (!is_power_of_two(Engine.input_lanes) || Engine.input_lanes > Engine.sub_row) begin : g_check_6
    $fatal(1, "cascade_engine: input_lanes must be a power of two of at most sub_row = %0d, not %0d",
           Engine.sub_row, Engine.input_lanes);
  end
  if (!is_power_of_two(Engine.bus_bits) || Engine.bus_bits < 64 || Engine.bus_bits > 512) begin : g_check_7
    $fatal(1, "cascade_engine: bus_bits must be 64, 128, 256 or 512, not %0d", Engine.bus_bits);
  end
  if (Engine.weight_bits < 2 || Engine.weight_bits > 12 ||
      Engine.activation_bits < 2 || Engine.activation_bits > 8) begin : g_check_8
    $fatal(1, "cascade_engine: weight_bits must be 2 to 12 and activation_bits 2 to 8, not %0d and %0d",
           Engine.weight_bits, Engine.activation_bits);
  end
  if (two_precisions(Engine) &&
      (Engine.narrow_bits != 4 || Engine.weight_bits != 8 || Engine.activation_bits != 8 || Engine.pack_k != 2 ||
       Engine.pack_p != 1 || Engine.gather || Engine.tile != 0 || !is_column(Engine.dsp_primitive) ||
       Engine.fabric_lanes != 0 || Engine.lanes_p % 2 != 0)) begin : g_check_21
    $fatal(1, "cascade_engine: narrow_bits = %0d must be 0, or 4 with weights and activations of 8 bits, even lanes_p, dsp48e1 or dsp48e2, pack_k = 2, pack_p = 1, no gather, no tile and no fabric_lanes",
           Engine.narrow_bits);
  end
  if (two_precisions(Engine) && !narrow_packing_of(Engine.dsp_primitive, Engine.chain, Engine.narrow_bits).possible)
  begin : g_check_23
    $fatal(1, "cascade_engine: no block sums chain = %0d products of narrow_bits = %0d", Engine.chain, Engine.narrow_bits);
  end
  if (Engine.accumulator_bits < 8 || Engine.accumulator_bits > 40) begin : g_check_9
    $fatal(1, "cascade_engine: accumulator_bits must be 8 to 40, not %0d", Engine.accumulator_bits);
  end
  if (Engine.bias_bits < 8 || Engine.bias_bits > 40) begin : g_check_20
    $fatal(1, "cascade_engine: bias_bits must be 8 to 40, not %0d", Engine.bias_bits);
  end
  if (Engine.tile != 0 && Engine.tile != 2 && Engine.tile != 4) begin : g_check_10
    $fatal(1, "cascade_engine: tile must be 0, 2 or 4, not %0d", Engine.tile);
  end
  if (!is_power_of_two(Engine.transform_cycles) || Engine.transform_cycles > Engine.sub_row) begin : g_check_11
    $fatal(1, "cascade_engine: transform_cycles must be a power of two of at most sub_row = %0d, not %0d",
           Engine.sub_row, Engine.transform_cycles);
  end
  if (Engine.transform_depth < 1 || Engine.transform_depth > 1 << 16) begin : g_check_12
    $fatal(1, "cascade_engine: transform_depth must be 1 to 2^16, not %0d", Engine.transform_depth);
  end
  if (!is_power_of_two(Engine.parameter_sets) || Engine.parameter_sets < 2 || Engine.parameter_sets > 1 << 10 ||
      Engine.rows_ahead > 1 << 20) begin : g_check_25
    $fatal(1, "cascade_engine: parameter_sets must be a power of two of 2 to 2^10 and rows_ahead at most 2^20, not %0d and %0d",
           Engine.parameter_sets, Engine.rows_ahead);
  end
  if (Engine.result_depth < 1 || Engine.result_depth > 1 << 14 ||
      Engine.table_words < 1 || Engine.table_words > 64) begin : g_check_13
    $fatal(1, "cascade_engine: result_depth must be 1 to 2^14 and table_words 1 to 64, not %0d and %0d",
           Engine.result_depth, Engine.table_words);
  end
  if (Engine.pack_k < 1 || Engine.pack_k > 2 || Engine.lanes_k % maximum(Engine.pack_k, 1) != 0 ||
      Engine.pack_p < 1 || Engine.pack_p > 2 ||
      (Engine.lanes_p - Engine.fabric_lanes) % maximum(Engine.pack_p, 1) != 0) begin : g_check_14
    $fatal(1, "cascade_engine: pack_k and pack_p must be 1 or 2 and divide lanes_k = %0d and lanes_p - fabric_lanes = %0d, not %0d and %0d",
           Engine.lanes_k, Engine.lanes_p - Engine.fabric_lanes, Engine.pack_k, Engine.pack_p);
  end
  if (!is_power_of_two(Engine.chain) || Engine.chain > Engine.slots) begin : g_check_15
    $fatal(1, "cascade_engine: chain must divide slots = %0d, not be %0d", Engine.slots, Engine.chain);
  end
  if ((Engine.index_k != 1 && Engine.index_k != 2 && Engine.index_k != 4) ||
      Engine.lanes_k % maximum(Engine.index_k, 1) != 0 || (!Engine.gather && Engine.index_k != 1)) begin : g_check_16
    $fatal(1, "cascade_engine: index_k must be 1, 2 or 4 and divide lanes_k = %0d, without gather 1, not %0d",
           Engine.lanes_k, Engine.index_k);
  end
  if (Engine.gather && Engine.index_k % maximum(Engine.pack_k, 1) != 0) begin : g_check_19
    $fatal(1, "cascade_engine: index_k must be 2 or 4 with pack_k = %0d and gather, not %0d: its channels share an element",
           Engine.pack_k, Engine.index_k);
  end
  if (Engine.dsp_primitive == DspPrimitiveNone) begin : g_check_17
    if (Engine.pack_k * Engine.pack_p * Engine.chain != 1) begin : g_check
      $fatal(1, "cascade_engine: pack_k, pack_p and chain need a dsp_primitive, not %0d, %0d and %0d with none",
             Engine.pack_k, Engine.pack_p, Engine.chain);
    end
  end else if (!array_packing(Engine).possible) begin : g_check_18
    $fatal(1, "cascade_engine: the dsp_primitive does not take pack_k = %0d, pack_p = %0d and chain = %0d",
           Engine.pack_k, Engine.pack_p, Engine.chain);
  end
  if (Engine.stripes && two_precisions(Engine)) begin : g_check_24
    $fatal(1, "cascade_engine: stripes must be 0 with narrow_bits = %0d", Engine.narrow_bits);
  end
  if (Engine.fabric_lanes != 0) begin : g_check_22
    if (!is_column(Engine.dsp_primitive)) begin : g_check
      $fatal(1, "cascade_engine: fabric_lanes must be 0 without columns of DSP48E1 or DSP48E2, not %0d",
             Engine.fabric_lanes);
    end
    if (Engine.fabric_lanes >= Engine.lanes_p) begin : g_lanes
      $fatal(1, "cascade_engine: fabric_lanes must be less than lanes_p = %0d, not %0d", Engine.lanes_p, Engine.fabric_lanes);
    end
  end
endmodule
