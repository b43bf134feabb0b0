// The array: LanesK x LanesP x Slots multipliers. Every multiplier takes the weight of its (channel, slot)
// and the element of its lane's word that the weight's index names; one accumulator per (channel, lane).
// Pipeline: word and row, gathered operands, products, (Slots > 1: their sums), accumulators; it never
// stalls, because the walker issues a position's last step only when `drained` will be free.
// `handoff` is high in the first cycle in which `drained` holds a position.
module cascade_array
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned IndexBits = index_bits(Engine),
  localparam int unsigned Weights = Engine.lanes_k * Engine.slots,
  localparam int unsigned RowBits = row_bits(Engine, 1'b1),
  localparam int unsigned ElementBits = element_bits(Engine),
  localparam int unsigned WordBits = Engine.sub_row * ElementBits
) (
  input  logic                                      clk,
  input  logic                                      rst_n,
  input  logic                                      input_signed,
  input  logic                                      indexed,
  input  logic                                      step_valid,
  input  logic                                      step_word,
  input  logic                                      step_inside,
  input  logic [IndexBits-1:0]                      step_index,
  input  logic                                      step_first,
  input  logic                                      step_shift,
  input  logic                                      step_last,
  input  logic [RowBits-1:0]                        step_row,
  input  logic [WordBits-1:0]                       in_word[Engine.lanes_p],
  output logic                                      handoff,
  output logic signed [Engine.accumulator_bits-1:0] drained[Engine.lanes_k][Engine.lanes_p]
);
  localparam int unsigned OperandBits = operand_bits(Engine);
  localparam int unsigned ProductBits = Engine.weight_bits + OperandBits;
  localparam int unsigned SumBits = ProductBits + $clog2(Engine.slots);
  localparam int unsigned DigitBits = digit_bits(Engine);

  typedef logic signed [Engine.weight_bits-1:0] weight_t;
  typedef logic signed [OperandBits-1:0] operand_t;
  typedef logic signed [ProductBits-1:0] product_t;
  typedef logic signed [SumBits-1:0] sum_t;
  typedef logic signed [Engine.accumulator_bits-1:0] accumulator_t;
  typedef logic [IndexBits-1:0] index_t;

  typedef struct packed {
    logic valid;
    logic first;
    logic shift;
    logic last;
  } control_t;

  // A sum of partial products, where multipliers are meant for LUTs: no tool makes a DSP block of it.
  function automatic product_t product_of(weight_t weight, operand_t operand);
    product_t sum;
    if (Engine.multiplier == MultiplierLut) begin
      sum = '0;
      for (int unsigned n = 0; n < Engine.weight_bits; n++) begin
        if (weight[n]) begin
          sum = n == Engine.weight_bits - 1 ? sum - (product_t'(operand) <<< n) : sum + (product_t'(operand) <<< n);
        end
      end
    end else begin
      sum = product_t'(weight) * product_t'(operand);
    end
    return sum;
  endfunction

  logic [Engine.sub_row-1:0][ElementBits-1:0] word[Engine.lanes_p];
  weight_t value[Weights];
  weight_t value_gathered[Weights];
  index_t index[Weights];
  operand_t gathered[Weights][Engine.lanes_p];
  product_t product[Weights][Engine.lanes_p];
  sum_t sum[Engine.lanes_k][Engine.lanes_p];
  accumulator_t accumulator[Engine.lanes_k][Engine.lanes_p];
  control_t control_row, control_gathered, control_product, control_sum;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      control_row <= '0;
      control_gathered <= '0;
      control_product <= '0;
    end else begin
      control_row <= '{valid: step_valid, first: step_first, shift: step_shift, last: step_last};
      control_gathered <= control_row;
      control_product <= control_gathered;
    end

    if (step_valid) begin
      for (int unsigned w = 0; w < Weights; w++) begin
        value[w] <= step_row[w*Engine.weight_bits+:Engine.weight_bits];
        if (Engine.sub_row == 1) index[w] <= '0;
        else if (indexed) index[w] <= step_row[Weights*Engine.weight_bits+w*IndexBits+:IndexBits];
        else index[w] <= step_index + index_t'(w % Engine.slots);
      end
      if (step_word) begin
        for (int unsigned p = 0; p < Engine.lanes_p; p++) word[p] <= step_inside ? in_word[p] : '0;
      end
    end

    if (control_row.valid) begin
      value_gathered <= value;
      for (int unsigned w = 0; w < Weights; w++) begin
        for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
          gathered[w][p] <=
              OperandBits'($signed({input_signed && word[p][index[w]][ElementBits-1], word[p][index[w]]}));
        end
      end
    end

    if (control_gathered.valid) begin
      for (int unsigned w = 0; w < Weights; w++) begin
        for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
          product[w][p] <= product_of(value_gathered[w], gathered[w][p]);
        end
      end
    end
  end

  if (Engine.slots == 1) begin : g_direct
    assign control_sum = control_product;
    assign sum = product;
  end else begin : g_sum
    always_ff @(posedge clk) begin
      if (!rst_n) control_sum <= '0;
      else control_sum <= control_product;
      if (control_product.valid) begin
        for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
          for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
            automatic sum_t part[Engine.slots];
            for (int unsigned s = 0; s < Engine.slots; s++) part[s] = sum_t'(product[k*Engine.slots+s][p]);
            for (int unsigned half = Engine.slots / 2; half != 0; half /= 2) begin
              for (int unsigned s = 0; s < half; s++) part[s] = part[s] + part[s+half];
            end
            sum[k][p] <= part[0];
          end
        end
      end
    end
  end

  always_ff @(posedge clk) begin
    if (!rst_n) handoff <= 1'b0;
    else handoff <= control_sum.valid && control_sum.last;
    if (control_sum.valid) begin
      for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
        for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
          automatic accumulator_t next = control_sum.first ? '0 :
              control_sum.shift ? accumulator[k][p] <<< DigitBits : accumulator[k][p];
          next = next + accumulator_t'(sum[k][p]);
          accumulator[k][p] <= next;
          if (control_sum.last) drained[k][p] <= next;
        end
      end
    end
  end
endmodule
