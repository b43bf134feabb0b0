// Element-wise maximum over the words of a window, for all lanes at once: one word per cycle.
// Latency from a window's last word to its write: 2 cycles. Cost: one comparator per element of a word.
module cascade_maxpool
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned BankBits = bank_bits(Engine),
  localparam int unsigned WordBits = word_bits(Engine)
) (
  input  logic                clk,
  input  logic                rst_n,
  input  logic                start,
  input  operation_t          operation,
  output logic                done,
  output error_e              problem,
  input  logic                step_valid,
  input  logic                step_inside,
  input  logic                step_first,
  input  logic                step_last,
  input  logic [WordBits-1:0] bank_word[Engine.lanes_p],
  output logic                bank_write,
  output logic [BankBits-1:0] bank_address,
  output logic [WordBits-1:0] bank_data[Engine.lanes_p]
);
  typedef logic [StoreBits-1:0] store_t;
  typedef logic [Engine.activation_bits-1:0] element_t;
  typedef logic [Engine.sub_row-1:0][Engine.activation_bits-1:0] word_t;

  instruction_t i;
  assign i = operation.code;

  // With its top bit inverted a signed element compares as an unsigned one, and 0 is the lowest.
  element_t flip;
  word_t best[Engine.lanes_p];
  word_t best_next[Engine.lanes_p];
  logic complete;
  logic [15:0] words_left;
  logic [31:0] positions_left;
  store_t word, position;

  assign flip = i.flags.input_signed ? element_t'(1) << (Engine.activation_bits - 1) : '0;

  always_comb begin
    for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
      word_t offered;
      offered = bank_word[p];
      best_next[p] = step_first ? '0 : best[p];
      for (int unsigned s = 0; s < Engine.sub_row; s++) begin
        if (step_inside && (offered[s] ^ flip) > best_next[p][s]) best_next[p][s] = offered[s] ^ flip;
      end
    end
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      complete <= 1'b0;
      bank_write <= 1'b0;
      done <= 1'b0;
      problem <= ErrorNone;
    end else begin
      complete <= step_valid && step_last;
      bank_write <= complete && position < operation.bank_end;
      done <= complete && positions_left == 32'd1 && words_left == 16'd1;
      problem <= complete && position >= operation.bank_end ? ErrorAddress : ErrorNone;
    end
    if (step_valid) best <= best_next;
    if (complete) begin
      bank_address <= BankBits'(position);
      for (int unsigned p = 0; p < Engine.lanes_p; p++) bank_data[p] <= best[p] ^ {Engine.sub_row{flip}};
    end
    if (start) begin
      words_left <= i.sub_rows;
      positions_left <= operation.pixels;
      word <= store_t'(i.out_base);
      position <= store_t'(i.out_base);
    end else if (complete) begin
      position <= position + store_t'(i.out_words);
      positions_left <= positions_left - 32'd1;
      if (positions_left == 32'd1) begin
        positions_left <= operation.pixels;
        words_left <= words_left - 16'd1;
        word <= word + 1'b1;
        position <= word + 1'b1;
      end
    end
  end
endmodule
