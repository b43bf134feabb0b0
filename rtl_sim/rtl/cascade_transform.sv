// One-dimensional input transform of Winograd's tiles, as `input` of toolflow/numerics/winograd.py: of every t words
// that come it makes t words, t = 4 (F(2,3)) or 6 (F(4,3)); each element of a word is transformed by itself.
// One word per cycle in and out, without a pause between groups of t. Latency from a group's last word to its first
// result: 3 cycles in which `enable` is high. Sums are modulo 2^OutBits: OutBits must hold the results.
// Cost: 2·t − 1 words of registers, up to three adders for each element.
module cascade_transform #(
  parameter int unsigned Tile = 4,  // the largest m of F(m,3)
  parameter int unsigned Elements = 8,
  parameter int unsigned InBits = 9,
  parameter int unsigned OutBits = 12
) (
  input  logic                      clk,
  input  logic                      rst_n,
  input  logic                      enable,  // of every register
  input  logic                      four,  // F(4,3), not F(2,3)
  input  logic                      in_valid,
  input  logic signed [InBits-1:0]  in_word[Elements],
  output logic                      out_soon,  // `out_valid` after the next enabled cycle
  output logic                      out_valid,
  output logic signed [OutBits-1:0] out_word[Elements]
);
  localparam int unsigned Taps = Tile + 2;

  logic is_4;
  assign is_4 = Tile == 4 && four;

  typedef logic signed [InBits-1:0] in_t;
  typedef logic signed [OutBits-1:0] out_t;

  // Words arrive in `window`; with the last one they move together to `held`, where each result takes its own.
  in_t window[Taps-1][Elements];
  in_t held[Taps][Elements];
  logic [2:0] last_tap, place, turn;
  logic complete, emitting;
  assign last_tap = is_4 ? 3'd5 : 3'd3;
  assign complete = in_valid && place == last_tap;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      place <= '0;
      turn <= '0;
      emitting <= 1'b0;
    end else if (enable) begin
      if (in_valid) place <= complete ? '0 : place + 3'd1;
      if (complete) begin
        emitting <= 1'b1;
        turn <= '0;
      end else if (emitting) begin
        emitting <= turn != last_tap;
        turn <= turn + 3'd1;
      end
    end
    if (enable && in_valid) begin
      for (int unsigned n = 0; n < Taps - 1; n++) if (32'(place) == n) window[n] <= in_word;
    end
    if (enable && complete) begin
      for (int unsigned n = 0; n < Taps - 1; n++) held[n] <= window[n];
      held[Taps-1] <= in_word;
      if (Tile == 4 && !is_4) held[3] <= in_word;
    end
  end

  // Result `turn` is (a − (b << near)) ± ((c − (e << near)) << far); of F(2,3) it is a − b or a + b.
  out_t left[Elements];
  out_t right[Elements];
  logic [1:0] near, far, far_1;
  logic minus, minus_1;
  always_comb begin
    near = is_4 && (turn == 3'd1 || turn == 3'd2) ? 2'd2 : 2'd0;
    far = turn == 3'd3 || turn == 3'd4 ? 2'd1 : turn == 3'd0 || turn == 3'd5 ? 2'd2 : 2'd0;
    minus = is_4 && (turn == 3'd2 || turn == 3'd4);
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      out_soon <= 1'b0;
      out_valid <= 1'b0;
    end else if (enable) begin
      out_soon <= emitting;
      out_valid <= out_soon;
    end
    if (enable && emitting) begin
      far_1 <= far;
      minus_1 <= minus;
      for (int unsigned e = 0; e < Elements; e++) begin
        automatic in_t first = '0, second = '0;
        right[e] <= '0;
        if (is_4) begin
          case (turn)
            3'd0: right[e] <= out_t'(held[0][e]) - out_t'(held[2][e]);
            3'd5: right[e] <= out_t'(held[1][e]) - out_t'(held[3][e]);
            default: right[e] <= out_t'(held[3][e]) - (out_t'(held[1][e]) <<< near);
          endcase
          first = turn == 3'd5 ? held[Taps-1][e] : held[Taps-2][e];
          second = turn == 3'd5 ? held[3][e] : held[2][e];
        end else begin
          first = turn == 3'd0 ? held[0][e] : turn == 3'd2 ? held[2][e] : held[1][e];
          second = turn == 3'd2 ? held[1][e] : turn == 3'd3 ? held[3][e] : held[2][e];
        end
        left[e] <= !is_4 && turn == 3'd1 ? out_t'(first) + out_t'(second) : out_t'(first) - (out_t'(second) <<< near);
      end
    end
    if (enable && out_soon) begin
      for (int unsigned e = 0; e < Elements; e++) begin
        out_word[e] <= minus_1 ? left[e] - (right[e] <<< far_1) : left[e] + (right[e] <<< far_1);
      end
    end
  end
endmodule
