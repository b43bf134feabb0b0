// The array: LanesK x LanesP x Slots multipliers. Every multiplier takes the weight of its (channel, slot)
// and the element of its lane's word that the weight's index names; one accumulator per (channel, lane).
// Pipeline: word and row, gathered operands, products, (Slots > 1: their sums), accumulators; it never
// stalls, because the walker issues a position's last step only when `drained` will be free.
// `handoff` is high in the first cycle in which `drained` holds a position.
module cascade_array
  import cascade_pkg::*;
#(
  parameter int unsigned LanesK = 16,
  parameter int unsigned LanesP = 8,
  parameter int unsigned Slots = 1,
  parameter int unsigned SubRow = 8,
  parameter int unsigned WeightBits = 8,
  parameter int unsigned ActivationBits = 8,
  parameter int unsigned ElementBits = 8,  // of a word, which is signed where they are OperandBits
  parameter int unsigned OperandBits = 9,
  parameter int unsigned AccumulatorBits = 32,
  parameter bit MultiplierLut = 1'b0,
  localparam int unsigned IndexBits = index_width(SubRow),
  localparam int unsigned Weights = LanesK * Slots,
  localparam int unsigned RowBits = Weights * (WeightBits + IndexBits),
  localparam int unsigned WordBits = SubRow * ElementBits
) (
  input  logic                              clk,
  input  logic                              rst_n,
  input  logic                              input_signed,
  input  logic                              indexed,
  input  logic                              step_valid,
  input  logic                              step_word,
  input  logic                              step_inside,
  input  logic [IndexBits-1:0]              step_index,
  input  logic                              step_first,
  input  logic                              step_shift,
  input  logic                              step_last,
  input  logic [RowBits-1:0]                step_row,
  input  logic [WordBits-1:0]               in_word[LanesP],
  output logic                              handoff,
  output logic signed [AccumulatorBits-1:0] drained[LanesK][LanesP]
);
  localparam int unsigned ProductBits = WeightBits + OperandBits;
  localparam int unsigned SumBits = ProductBits + $clog2(Slots);
  localparam int unsigned DigitBits = WeightBits < ActivationBits ? WeightBits : ActivationBits;

  typedef logic signed [WeightBits-1:0] weight_t;
  typedef logic signed [OperandBits-1:0] operand_t;
  typedef logic signed [ProductBits-1:0] product_t;
  typedef logic signed [SumBits-1:0] sum_t;
  typedef logic signed [AccumulatorBits-1:0] accumulator_t;
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
    if (MultiplierLut) begin
      sum = '0;
      for (int unsigned n = 0; n < WeightBits; n++) begin
        if (weight[n]) sum = n == WeightBits - 1 ? sum - (product_t'(operand) <<< n) : sum + (product_t'(operand) <<< n);
      end
    end else begin
      sum = product_t'(weight) * product_t'(operand);
    end
    return sum;
  endfunction

  logic [SubRow-1:0][ElementBits-1:0] word[LanesP];
  weight_t value[Weights];
  weight_t value_gathered[Weights];
  index_t index[Weights];
  operand_t gathered[Weights][LanesP];
  product_t product[Weights][LanesP];
  sum_t sum[LanesK][LanesP];
  accumulator_t accumulator[LanesK][LanesP];
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
        value[w] <= step_row[w*WeightBits+:WeightBits];
        if (SubRow == 1) index[w] <= '0;
        else if (indexed) index[w] <= step_row[Weights*WeightBits+w*IndexBits+:IndexBits];
        else index[w] <= step_index + index_t'(w % Slots);
      end
      if (step_word) begin
        for (int unsigned p = 0; p < LanesP; p++) word[p] <= step_inside ? in_word[p] : '0;
      end
    end

    if (control_row.valid) begin
      value_gathered <= value;
      for (int unsigned w = 0; w < Weights; w++) begin
        for (int unsigned p = 0; p < LanesP; p++) begin
          gathered[w][p] <=
              OperandBits'($signed({input_signed && word[p][index[w]][ElementBits-1], word[p][index[w]]}));
        end
      end
    end

    if (control_gathered.valid) begin
      for (int unsigned w = 0; w < Weights; w++) begin
        for (int unsigned p = 0; p < LanesP; p++) product[w][p] <= product_of(value_gathered[w], gathered[w][p]);
      end
    end
  end

  if (Slots == 1) begin : g_direct
    assign control_sum = control_product;
    assign sum = product;
  end else begin : g_sum
    always_ff @(posedge clk) begin
      if (!rst_n) control_sum <= '0;
      else control_sum <= control_product;
      if (control_product.valid) begin
        for (int unsigned k = 0; k < LanesK; k++) begin
          for (int unsigned p = 0; p < LanesP; p++) begin
            automatic sum_t part[Slots];
            for (int unsigned s = 0; s < Slots; s++) part[s] = sum_t'(product[k*Slots+s][p]);
            for (int unsigned half = Slots / 2; half != 0; half /= 2) begin
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
      for (int unsigned k = 0; k < LanesK; k++) begin
        for (int unsigned p = 0; p < LanesP; p++) begin
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
