// The products of one step, summed over the slots of each (channel, lane): sum + carry. Where the engine names a DSP
// block, chains of them (cascade_chain), and in its last `fabric_lanes` lanes chains in LUTs (cascade_fabric); else
// products that are left to synthesis. A tree of adders, one register a level, sums chains, or products. Latency:
// sums_latency(Engine) - slot_delay(Engine, 0) from the operands of a chain's first slot.
// Cost: the multipliers, and slots / chain - 1 adders for each (channel, lane).
module cascade_sums
  import cascade_pkg::*;
  import cascade_products_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned OperandBits = operand_bits(Engine),
  localparam int unsigned Choices = choices(Engine),
  localparam int unsigned SumBits = Engine.weight_bits + OperandBits + $clog2(Engine.slots)
) (
  input  logic                                 clk,
  input  logic                                 narrow,
  input  logic signed [Engine.weight_bits-1:0] weight[Engine.lanes_k][Engine.slots],
  input  logic signed [OperandBits-1:0]        operand[Choices][Engine.slots][Engine.lanes_p],
  output logic signed [SumBits-1:0]            sum[Engine.lanes_k][Engine.lanes_p],
  output logic                                 carry[Engine.lanes_k][Engine.lanes_p]
);
  localparam int unsigned Leaves = Engine.slots / Engine.chain;

  typedef logic signed [Engine.weight_bits-1:0] weight_t;
  typedef logic signed [OperandBits-1:0] operand_t;
  typedef logic signed [SumBits-1:0] sum_t;

  sum_t leaf[Leaves][Engine.lanes_k][Engine.lanes_p];
  logic leaf_carry[Leaves][Engine.lanes_k][Engine.lanes_p];

  if (Engine.dsp_primitive == DspPrimitiveNone) begin : g_inferred
    logic unused;
    assign unused = narrow;
    localparam int unsigned ProductBits = Engine.weight_bits + OperandBits;
    typedef logic signed [ProductBits-1:0] product_t;

    // A sum of partial products, where multipliers are meant for LUTs: no tool makes a DSP block of it.
    function automatic product_t product_of(weight_t one_weight, operand_t one_operand);
      product_t total;
      if (Engine.multiplier == MultiplierLut) begin
        total = '0;
        for (int unsigned n = 0; n < Engine.weight_bits; n++) begin
          if (one_weight[n]) begin
            total = n == Engine.weight_bits - 1 ? total - (product_t'(one_operand) <<< n) :
                total + (product_t'(one_operand) <<< n);
          end
        end
      end else begin
        total = product_t'(one_weight) * product_t'(one_operand);
      end
      return total;
    endfunction

    weight_t weight_taken[Engine.lanes_k][Engine.slots];
    operand_t operand_taken[Choices][Engine.slots][Engine.lanes_p];
    product_t product[Leaves][Engine.lanes_k][Engine.lanes_p];
    always_ff @(posedge clk) begin
      weight_taken <= weight;
      operand_taken <= operand;
      for (int unsigned s = 0; s < Leaves; s++) begin
        for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
          for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
            product[s][k][p] <= product_of(weight_taken[k][s], operand_taken[k*Choices/Engine.lanes_k][s][p]);
          end
        end
      end
    end
    always_comb begin
      for (int unsigned s = 0; s < Leaves; s++) begin
        for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
          for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
            leaf[s][k][p] = sum_t'(product[s][k][p]);
            leaf_carry[s][k][p] = 1'b0;
          end
        end
      end
    end
  end else begin : g_instantiated
    localparam int unsigned DspLanes = Engine.lanes_p - Engine.fabric_lanes;
    localparam int unsigned Lanes = packed_lanes(Engine);
    localparam int unsigned LaneStep = packed_lane_step(Engine);
    localparam int unsigned ChainBits = Engine.weight_bits + OperandBits + $clog2(Engine.chain);
    for (genvar c = 0; c < Leaves; c++) begin : g_chain
      for (genvar k = 0; k < Engine.lanes_k; k += Engine.pack_k) begin : g_channel
        for (genvar g = 0; g < DspLanes / Lanes; g++) begin : g_lane
          localparam int unsigned First = two_precisions(Engine) ? g : g * Lanes;
          weight_t chain_weight[Engine.chain][Engine.pack_k];
          operand_t chain_operand[Engine.chain][Lanes];
          logic signed [ChainBits-1:0] chain_sum[Engine.pack_k][Lanes];
          logic chain_carry[Engine.pack_k][Lanes];
          always_comb begin
            for (int unsigned n = 0; n < Engine.chain; n++) begin
              for (int unsigned i = 0; i < Engine.pack_k; i++) chain_weight[n][i] = weight[k+i][c*Engine.chain+n];
              for (int unsigned j = 0; j < Lanes; j++) begin
                chain_operand[n][j] = operand[k*Choices/Engine.lanes_k][c*Engine.chain+n][First+j*LaneStep];
              end
            end
            for (int unsigned i = 0; i < Engine.pack_k; i++) begin
              for (int unsigned j = 0; j < Lanes; j++) begin
                leaf[c][k+i][First+j*LaneStep] = sum_t'(chain_sum[i][j]);
                leaf_carry[c][k+i][First+j*LaneStep] = chain_carry[i][j];
              end
            end
          end
          cascade_chain #(
            .Primitive(Engine.dsp_primitive),
            .PackK(Engine.pack_k),
            .PackP(Lanes),
            .Chain(Engine.chain),
            .WeightBits(Engine.weight_bits),
            .OperandBits(OperandBits),
            .OperandLower(least_operand(Engine)),
            .OperandUpper(greatest_operand(Engine)),
            .NarrowBits(Engine.narrow_bits)
          ) i_chain (
            .clk,
            .narrow,
            .weight(chain_weight),
            .operand(chain_operand),
            .sum(chain_sum),
            .carry(chain_carry)
          );
        end
      end
    end
    if (Engine.fabric_lanes != 0) begin : g_fabric
      operand_t fabric_operand[Choices][Engine.slots][Engine.fabric_lanes];
      sum_t fabric_sum[Leaves][Engine.lanes_k][Engine.fabric_lanes];
      always_comb begin
        for (int unsigned p = 0; p < Engine.fabric_lanes; p++) begin
          for (int unsigned c = 0; c < Choices; c++) begin
            for (int unsigned s = 0; s < Engine.slots; s++) fabric_operand[c][s][p] = operand[c][s][DspLanes+p];
          end
          for (int unsigned c = 0; c < Leaves; c++) begin
            for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
              leaf[c][k][DspLanes+p] = fabric_sum[c][k][p];
              leaf_carry[c][k][DspLanes+p] = 1'b0;
            end
          end
        end
      end
      cascade_fabric #(
        .Engine(Engine)
      ) i_fabric (
        .clk,
        .weight,
        .operand(fabric_operand),
        .sum(fabric_sum)
      );
    end
  end

  // Node n sums the nodes 2n and 2n + 1; from `Leaves` on they are the leaves, node 1 is the root. An adder takes the
  // carry of its second node and leaves that of the first.
  if (Leaves == 1) begin : g_leaf
    assign sum = leaf[0];
    assign carry = leaf_carry[0];
  end else begin : g_tree
    sum_t node[1:Leaves-1][Engine.lanes_k][Engine.lanes_p];
    logic node_carry[1:Leaves-1][Engine.lanes_k][Engine.lanes_p];
    for (genvar n = 1; n < Leaves; n++) begin : g_node
      sum_t first[Engine.lanes_k][Engine.lanes_p];
      sum_t second[Engine.lanes_k][Engine.lanes_p];
      logic first_carry[Engine.lanes_k][Engine.lanes_p];
      logic second_carry[Engine.lanes_k][Engine.lanes_p];
      if (2 * n >= Leaves) begin : g_of_leaves
        assign first = leaf[2*n-Leaves];
        assign second = leaf[2*n+1-Leaves];
        assign first_carry = leaf_carry[2*n-Leaves];
        assign second_carry = leaf_carry[2*n+1-Leaves];
      end else begin : g_of_nodes
        assign first = node[2*n];
        assign second = node[2*n+1];
        assign first_carry = node_carry[2*n];
        assign second_carry = node_carry[2*n+1];
      end
      always_ff @(posedge clk) begin
        for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
          for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
            node[n][k][p] <= add_with_carry(first[k][p], second[k][p], second_carry[k][p]);
          end
        end
        node_carry[n] <= first_carry;
      end
    end
    assign sum = node[1];
    assign carry = node_carry[1];
  end

  // One adder: the carry comes in below its lowest bit.
  function automatic sum_t add_with_carry(sum_t a, sum_t b, logic carry_in);
    logic [SumBits:0] total;
    if (!packed_products(Engine)) return a + b;
    total = {a, 1'b1} + {b, carry_in};
    return total[SumBits:1];
  endfunction
endmodule
