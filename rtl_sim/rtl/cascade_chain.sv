// Sums of products of `Chain` slots, several of them in each DSP block:
//   sum[k][p] + carry[k][p] = the sum over all slots n of weight[n][k] * operand[n][p], exactly.
// The carry is the borrow of the field below, given back; it is left to the next adder, which has an input for it.
// DSP48: a column of `Chain` blocks; slot n takes its operands n cycles after slot 0. The others: every slot at once,
// and `Chain` - 1 adders in LUTs. Latency: chain_latency(Primitive, Chain) from slot 0's operands.
// Cost: `Chain` DSP blocks. A pair on a MULT18X18D, and the weights of a quad, take the LUTs of one decrement a slot,
// which chains of the same values share; a DSP48 has its pre-adder for the pair on its wide port.
// It has no reset and no enable: what goes in at a cycle comes out, whatever comes before and after it.
// Of two precisions (NarrowBits is not 0; a DSP48, PackK = PackP = 2): where `narrow` is set, weights and operands have
// NarrowBits bits and a block makes four products; else it makes those of operand[n][0], while operand[n][1] must be 0,
// and sum[k][1] means nothing. `narrow` stays as it is while what was put in under it is to come out right. Cost: LUTs
// that shift weight[n][1], which chains of the same weights share, and those that choose sum[k][0].
module cascade_chain
  import cascade_pkg::*;
  import cascade_products_pkg::*;
#(
  parameter dsp_primitive_e Primitive = DspPrimitiveDsp48e2,
  parameter int unsigned PackK = 1,
  parameter int unsigned PackP = 2,
  parameter int unsigned Chain = 4,
  parameter int unsigned WeightBits = 8,
  parameter int unsigned OperandBits = 9,
  parameter int OperandLower = -(1 << (OperandBits - 2)),
  parameter int OperandUpper = (1 << (OperandBits - 1)) - 1,
  parameter int unsigned NarrowBits = 0,  // of the second precision; the others are those of the first
  localparam int unsigned SumBits = WeightBits + OperandBits + $clog2(Chain)
) (
  input  logic                          clk,
  input  logic                          narrow,
  input  logic signed [WeightBits-1:0]  weight[Chain][PackK],
  input  logic signed [OperandBits-1:0] operand[Chain][PackP],
  output logic signed [SumBits-1:0]     sum[PackK][PackP],
  output logic                          carry[PackK][PackP]
);
  localparam bit TwoPrecisions = NarrowBits != 0;
  localparam int unsigned Operands = TwoPrecisions ? 1 : PackP;  // of a block in the first precision
  localparam packing_t Packing =
      packing_of(Primitive, PackK, Operands, Chain, WeightBits, longint'(OperandLower), longint'(OperandUpper));
  localparam packing_t Second = TwoPrecisions ? narrow_packing_of(Primitive, Chain, NarrowBits) : Packing;
  localparam int unsigned WeightStep = 32'(Packing.weight_step);
  localparam int unsigned OperandStep = 32'(Packing.operand_step);
  localparam bit WeightIsWide = PackK == 2 && Operands == 1;
  localparam int unsigned WideStep = WeightIsWide ? WeightStep : OperandStep;
  localparam int unsigned NarrowStep = WeightIsWide ? 32'(Second.operand_step) : WeightStep;
  localparam int unsigned PackedBits = sum_bits(Primitive);

  if (!Packing.possible || !Second.possible || (TwoPrecisions && (!is_column(Primitive) || PackK * PackP != 4)))
  begin : g_impossible
    $error("%m: no packing holds PackK=%0d PackP=%0d Chain=%0d WeightBits=%0d OperandBits=%0d NarrowBits=%0d", PackK,
           PackP, Chain, WeightBits, OperandBits, NarrowBits);
  end

  typedef logic signed [wide_bits(Primitive)-1:0] wide_t;
  typedef logic signed [narrow_bits(Primitive)-1:0] narrow_t;

  // Two values, or one and 0, on the wide port, and the same on the narrow one.
  wide_t wide_value[Chain][2];
  narrow_t narrow_value[Chain][2];
  always_comb begin
    for (int unsigned n = 0; n < Chain; n++) begin
      wide_value[n] = '{default: '0};
      narrow_value[n] = '{default: '0};
      for (int unsigned k = 0; k < PackK; k++) begin
        if (WeightIsWide) wide_value[n][k] = wide_t'(weight[n][k]);
        else narrow_value[n][k] = narrow_t'(weight[n][k]);
      end
      for (int unsigned p = 0; p < PackP; p++) begin
        if (WeightIsWide) narrow_value[n][p] = narrow_t'(operand[n][p]);
        else wide_value[n][p] = wide_t'(operand[n][p]);
      end
    end
  end

  // upper * 2^NarrowStep + lower, where lower fits NarrowStep bits: no adder as wide as both.
  function automatic narrow_t narrow_pair(narrow_t upper, narrow_t lower);
    if (NarrowStep == 0) return lower;
    return ((upper - narrow_t'({1'b0, lower < 0})) <<< NarrowStep) | (lower & ~(narrow_t'(-1) <<< NarrowStep));
  endfunction
  function automatic wide_t wide_pair(wide_t upper, wide_t lower);
    if (WideStep == 0) return lower;
    return ((upper - wide_t'({1'b0, lower < 0})) <<< WideStep) | (lower & ~(wide_t'(-1) <<< WideStep));
  endfunction

  logic [PackedBits-1:0] packed_sum;
  if (is_column(Primitive)) begin : g_column
    logic [47:0] link[Chain+1];
    logic [47:0] partial[Chain];
    assign link[0] = '0;
    for (genvar n = 0; n < Chain; n++) begin : g_slot
      cascade_dsp48 #(
        .E2(Primitive == DspPrimitiveDsp48e2),
        .First(n == 0)
      ) i_dsp (
        .clk,
        .high(TwoPrecisions && narrow ? wide_value[n][1] <<< Second.weight_step : wide_value[n][1] <<< WideStep),
        .low(wide_value[n][0]),
        .factor(narrow_pair(narrow_value[n][1], narrow_value[n][0])),
        .cascade_in(link[n]),
        .cascade_out(link[n+1]),
        .sum(partial[n])
      );
    end
    assign packed_sum = partial[Chain-1];
    logic unused;
    assign unused = ^{1'b0, link[Chain]};
  end else begin : g_tree
    // Node 1 is the root, nodes 2n and 2n + 1 are summed in node n, the last `Chain` ones are the products.
    logic [PackedBits-1:0] node[2*Chain];
    assign node[0] = '0;
    for (genvar n = 0; n < Chain; n++) begin : g_slot
      cascade_mult18x18d i_mult (
        .clk,
        .a(wide_pair(wide_value[n][1], wide_value[n][0])),
        .b(narrow_pair(narrow_value[n][1], narrow_value[n][0])),
        .product(node[Chain+n])
      );
    end
    for (genvar n = 1; n < Chain; n++) begin : g_add
      always_ff @(posedge clk) node[n] <= node[2*n] + node[2*n+1];
    end
    assign packed_sum = node[1];
  end

  if (TwoPrecisions) begin : g_two
    cascade_either_fields #(
      .PackK(PackK),
      .WideStep(WeightStep),
      .NarrowWeightStep(32'(Second.weight_step)),
      .NarrowOperandStep(32'(Second.operand_step)),
      .PackedBits(PackedBits),
      .SumBits(SumBits)
    ) i_fields (
      .narrow,
      .packed_sum,
      .sum,
      .carry
    );
  end else begin : g_one
    cascade_fields #(
      .PackK(PackK),
      .PackP(PackP),
      .WeightStep(WeightStep),
      .OperandStep(OperandStep),
      .PackedBits(PackedBits),
      .SumBits(SumBits)
    ) i_fields (
      .packed_sum,
      .sum,
      .carry
    );
    logic unused;
    assign unused = narrow;
  end
endmodule
