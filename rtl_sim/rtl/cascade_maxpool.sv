// Element-wise maximum over the words of a window, for all lanes at once: one word per cycle. Where the engine has stripes,
// SHIFT writes the words of each lane, windows of one, to the lane after it, or before it.
// With two precisions, a wide element is two parts beside each other in the words of a pair of lanes.
// Latency from a window's last word to its write: 2 cycles. Cost: one comparator per element of a word, and with stripes
// one LUT for each bit of a word that chooses the lane.
module cascade_maxpool
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned BankBits = bank_bits(Engine),
  localparam int unsigned WordBits = word_bits(Engine)
) (
  input  logic                clk,
  input  logic                rst_n,
  input  logic                narrow,  // the program's precision
  input  logic                start,
  input  operation_t          operation,
  output logic                done,
  output error_e              problem,
  input  logic                step_valid,
  input  logic [Engine.lanes_p-1:0] step_inside,
  input  logic                step_first,
  input  logic                step_last,
  input  logic [WordBits-1:0] bank_word[Engine.lanes_p],
  output logic                bank_write,
  output logic [BankBits-1:0] bank_address,
  output logic [WordBits-1:0] bank_data[Engine.lanes_p]
);
  typedef logic [StoreBits-1:0] store_t;
  // A wide lane's word, or those of the two narrow ones that it holds.
  localparam int unsigned StoredBits = stored_bits(Engine);
  localparam int unsigned Elements = halves(Engine) * Engine.sub_row;
  localparam int unsigned WideLanes = wide_lanes(Engine);
  typedef logic [StoredBits-1:0] element_t;
  typedef logic [Elements-1:0][StoredBits-1:0] word_t;

  instruction_t i;
  logic wide;  // two elements make one
  assign i = operation.code;
  assign wide = two_precisions(Engine) && !narrow;

  // With its top bit inverted a signed element compares as an unsigned one, and 0 is the lowest.
  word_t flip;
  word_t best[WideLanes];
  word_t best_next[WideLanes];
  logic [WordBits-1:0] made[Engine.lanes_p];  // of each lane's bank
  logic shifts, upwards;  // SHIFT, to the lane before
  logic complete;
  logic [15:0] words_left;
  logic [31:0] positions_left;
  store_t word, position;

  always_comb begin
    for (int unsigned s = 0; s < Elements; s++) begin
      flip[s] = i.flags.input_signed && (!wide || s % 2 == 1) ? element_t'(1) << (StoredBits - 1) : '0;
    end
  end

  // Which elements of `a` are greater than those of `b`.
  function automatic logic [Elements-1:0] greater(word_t a, word_t b, logic of_two);
    for (int unsigned s = 0; s < Elements; s++) greater[s] = a[s] > b[s];
    if (of_two) begin
      for (int unsigned s = 1; s < Elements; s += 2) begin
        greater[s] = greater[s] || (a[s] == b[s] && greater[s-1]);
        greater[s-1] = greater[s];
      end
    end
  endfunction

  always_comb begin
    for (int unsigned p = 0; p < WideLanes; p++) begin
      word_t offered;
      logic [Elements-1:0] taken;
      for (int unsigned h = 0; h < halves(Engine); h++) offered[h*Engine.sub_row+:Engine.sub_row] = bank_word[h*WideLanes+p];
      offered ^= flip;
      best_next[p] = step_first ? '0 : best[p];
      taken = greater(offered, best_next[p], wide);
      for (int unsigned s = 0; s < Elements; s++)
        if (step_inside[s/Engine.sub_row*WideLanes+p] && taken[s]) best_next[p][s] = offered[s];
    end
  end

  always_comb begin
    for (int unsigned p = 0; p < Engine.lanes_p; p++)
      made[p] = best[p%WideLanes][p/WideLanes*Engine.sub_row+:Engine.sub_row] ^
          flip[p/WideLanes*Engine.sub_row+:Engine.sub_row];
  end
  always_ff @(posedge clk) {shifts, upwards} <= {i.opcode == OpShift, i.levels[0]};

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
      for (int unsigned p = 0; p < Engine.lanes_p; p++) bank_data[p] <= made[p];
      if (Engine.stripes && shifts) begin
        // What no lane feeds is undefined.
        for (int unsigned p = 1; p < Engine.lanes_p; p++) if (!upwards) bank_data[p] <= made[p-1];
        for (int unsigned p = 1; p < Engine.lanes_p; p++) if (upwards) bank_data[p-1] <= made[p];
      end
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
