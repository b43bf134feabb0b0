// Chains of products in LUTs: those of the last `fabric_lanes` lanes of an array whose other lanes have columns of DSP
// blocks. sum[c][k][p] is the sum over the slots n of chain c of weight[k][n] * operand[.][n][p].
// A weight is cut into digits of two bits, the highest one signed: each chooses 0, 1, 2 or 3 times the operand, or 0, 1,
// -2 or -1 times. Pipeline: multiples of the operand; both halves of the digits; product; sum with the slot before.
// Latency: chain_latency(dsp_primitive, chain) from the operands of a chain's first slot; slot n takes its own n later,
// as in a column. No reset, no enable.
// Cost of a product of 8 by 9 bits: 69 LUTs and 66 flip-flops; an operand's multiples serve all channels where there is no gather.
module cascade_fabric
  import cascade_pkg::*;
  import cascade_products_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned Lanes = maximum(Engine.fabric_lanes, 1),
  localparam int unsigned OperandBits = operand_bits(Engine),
  localparam int unsigned Choices = choices(Engine),
  localparam int unsigned Chains = Engine.slots / Engine.chain,
  localparam int unsigned SumBits = Engine.weight_bits + OperandBits + $clog2(Engine.slots)
) (
  input  logic                                 clk,
  input  logic signed [Engine.weight_bits-1:0] weight[Engine.lanes_k][Engine.slots],
  input  logic signed [OperandBits-1:0]        operand[Choices][Engine.slots][Lanes],
  output logic signed [SumBits-1:0]            sum[Chains][Engine.lanes_k][Lanes]
);
  localparam int unsigned Digits = (Engine.weight_bits + 1) / 2;
  localparam int unsigned LowDigits = Digits / 2;
  localparam int unsigned MultipleBits = OperandBits + 2;
  localparam int unsigned ProductBits = Engine.weight_bits + OperandBits;

  typedef logic signed [2*Digits-1:0] weight_t;
  typedef logic signed [MultipleBits-1:0] multiple_t;
  typedef logic signed [ProductBits-1:0] product_t;
  typedef logic signed [SumBits-1:0] sum_t;

  // What the digits choose from: an operand, three times it, and its negative.
  typedef struct packed {
    multiple_t one;
    multiple_t three;
    multiple_t minus;
  } multiples_t;

  function automatic multiple_t chosen(logic [1:0] digit, logic is_signed, multiples_t multiples);
    case (digit)
      2'd0: return '0;
      2'd1: return multiples.one;
      2'd2: return (is_signed ? multiples.minus : multiples.one) <<< 1;
      default: return is_signed ? multiples.minus : multiples.three;
    endcase
  endfunction

  // The sum of the multiples of the digits first .. last - 1, each two bits above the one before.
  function automatic product_t half_of(weight_t value, int unsigned first, int unsigned last, multiples_t multiples);
    product_t total;
    total = '0;
    for (int unsigned d = first; d < last; d++) begin
      total = total + (product_t'(chosen(value[2*d+:2], d == Digits - 1, multiples)) <<< (2 * (d - first)));
    end
    return total;
  endfunction

  for (genvar s = 0; s < Engine.slots; s++) begin : g_slot
    weight_t taken[Engine.lanes_k];
    multiples_t multiples[Choices][Lanes];
    product_t low[Engine.lanes_k][Lanes];
    product_t high[Engine.lanes_k][Lanes];
    product_t product[Engine.lanes_k][Lanes];
    sum_t partial[Engine.lanes_k][Lanes];
    always_ff @(posedge clk) begin
      for (int unsigned k = 0; k < Engine.lanes_k; k++) taken[k] <= weight_t'(weight[k][s]);
      for (int unsigned c = 0; c < Choices; c++) begin
        for (int unsigned p = 0; p < Lanes; p++) begin
          multiples[c][p].one <= multiple_t'(operand[c][s][p]);
          multiples[c][p].three <= multiple_t'(operand[c][s][p]) + (multiple_t'(operand[c][s][p]) <<< 1);
          multiples[c][p].minus <= -multiple_t'(operand[c][s][p]);
        end
      end
      for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
        for (int unsigned p = 0; p < Lanes; p++) begin
          low[k][p] <= half_of(taken[k], 0, LowDigits, multiples[k*Choices/Engine.lanes_k][p]);
          high[k][p] <= half_of(taken[k], LowDigits, Digits, multiples[k*Choices/Engine.lanes_k][p]);
          product[k][p] <= low[k][p] + (high[k][p] <<< (2 * LowDigits));
        end
      end
    end
    if (s % Engine.chain == 0) begin : g_first
      always_ff @(posedge clk) begin
        for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
          for (int unsigned p = 0; p < Lanes; p++) partial[k][p] <= sum_t'(product[k][p]);
        end
      end
    end else begin : g_next
      always_ff @(posedge clk) begin
        for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
          for (int unsigned p = 0; p < Lanes; p++) begin
            partial[k][p] <= g_slot[s-1].partial[k][p] + sum_t'(product[k][p]);
          end
        end
      end
    end
    if (s % Engine.chain == Engine.chain - 1) begin : g_last
      assign sum[s/Engine.chain] = partial;
    end
  end
endmodule
