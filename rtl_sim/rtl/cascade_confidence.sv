// Class and confidence of one image's results, by the integers of toolflow/numerics/confidence.py:
// one result per cycle, twice (largest value; exponentials, their total and their eight largest), then the
// sums over M and N places and the test by a serial product. 2 K + 60 cycles; without Confidence K + 3.
module cascade_confidence
  import cascade_pkg::*;
#(
  parameter int unsigned ResultDepth = 16,
  parameter bit Confidence = 1'b1,
  localparam int unsigned AddressBits = index_width(ResultDepth)
) (
  input  logic                         clk,
  input  logic                         rst_n,
  input  logic                         start,
  input  logic [31:0]                  classes,  // 1 to ResultDepth
  input  logic [15:0]                  k,
  input  logic [3:0]                   m,
  input  logic [3:0]                   n,
  input  logic signed [31:0]           threshold,
  output logic                         read_enable,
  output logic [AddressBits-1:0]       read_address,
  input  logic signed [ResultBits-1:0] logit,
  output logic                         done,  // one cycle; the outputs then stay
  output logic [31:0]                  best_class,
  output logic                         confident,
  output logic [31:0]                  numerator,
  output logic [31:0]                  total
);
  logic first_pass, second_pass, reading, valid, last_read;
  logic [AddressBits-1:0] index, place, best_place;
  logic [AddressBits:0] count;
  logic signed [ResultBits-1:0] best;
  logic place_last, largest_done;

  assign reading = first_pass || second_pass;
  assign read_enable = reading;
  assign read_address = index;
  assign count = (AddressBits + 1)'(classes);
  assign last_read = {1'b0, index} + 1'b1 == count;
  assign largest_done = valid && !first_pass && !second_pass && place_last;
  assign best_class = 32'(best_place);

  // First pass: the largest result, the lowest index where there are several.
  logic searching;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      first_pass <= 1'b0;
      valid <= 1'b0;
      searching <= 1'b0;
    end else begin
      valid <= reading;
      if (start) first_pass <= 1'b1;
      else if (last_read) first_pass <= 1'b0;
      if (start) searching <= 1'b1;
      else if (largest_done) searching <= 1'b0;
    end
    if (start) index <= '0;
    else if (reading) index <= last_read ? '0 : index + 1'b1;
    place <= index;
    place_last <= last_read;
    if (searching && valid && (place == '0 || logit > best)) begin
      best <= logit;
      best_place <= place;
    end
  end

  if (!Confidence) begin : g_class_only
    assign second_pass = 1'b0;
    assign confident = 1'b1;
    assign numerator = '0;
    assign total = '0;
    always_ff @(posedge clk) done <= rst_n && searching && largest_done;
    logic unused;
    assign unused = ^{k, m, n, threshold};
  end else begin : g_confidence
    localparam int unsigned Places = 32'(LeadingPlaces);
    localparam int unsigned TotalBits = 16 + AddressBits;
    localparam int unsigned DifferenceBits = 16 + $clog2(Places) + 1;
    localparam int unsigned RightBits = 32 + TotalBits;
    localparam int unsigned Latency = 4;  // from a result to its exponential

    // Second pass: x = (largest - result) * k >> 12, e = 2^-x from the table and a shift.
    logic [Latency:0] arriving;
    logic [15:0] distance;
    logic [31:0] product;
    logic [11:0] whole;
    logic [15:0] fraction_power, exponential;
    logic [15:0] places[Places];
    logic [Places-1:0] above;
    logic [TotalBits-1:0] sum, sum_left;
    logic clear;

    assign clear = searching && largest_done;
    always_comb for (int unsigned j = 0; j < Places; j++) above[j] = exponential > places[j];

    cascade_exponent i_table (
      .clk,
      .fraction(product[19:12]),
      .value(fraction_power)
    );

    always_ff @(posedge clk) begin
      if (!rst_n) begin
        second_pass <= 1'b0;
        arriving <= '0;
      end else begin
        if (clear) second_pass <= 1'b1;
        else if (last_read) second_pass <= 1'b0;
        arriving <= {arriving[Latency-1:0], second_pass};
      end
      distance <= 16'(17'(best) - 17'(logit));
      product <= distance * 32'(k);
      whole <= product[31:20];
      exponential <= whole >= 12'd16 ? '0 : fraction_power >> whole[3:0];
      if (clear) begin
        sum <= '0;
        for (int unsigned j = 0; j < Places; j++) places[j] <= '0;
      end else if (arriving[Latency]) begin
        sum <= sum + TotalBits'(exponential);
        for (int unsigned j = 0; j < Places; j++) begin
          if (above[j]) places[j] <= j > 0 && above[(j+Places-1)%Places] ? places[(j+Places-1)%Places] : exponential;
        end
      end
    end
    assign total = 32'(sum);

    // The sums over places, then threshold * total bit by bit, while total lasts.
    typedef enum logic [1:0] {Idle, Wait, Add, Multiply} state_e;
    state_e state;
    logic [2:0] j;
    logic signed [DifferenceBits-1:0] difference;
    logic signed [RightBits-1:0] right, shifted;

    assign numerator = 32'(difference);
    always_ff @(posedge clk) begin
      done <= 1'b0;
      if (!rst_n) begin
        state <= Idle;
      end else begin
        case (state)
          Idle: if (clear) state <= Wait;
          Wait: if (!second_pass && arriving == '0) state <= Add;
          Add: if (j == 3'd7) state <= Multiply;
          Multiply:
          if (sum_left == '0) begin
            done <= 1'b1;
            state <= Idle;
          end
          default: state <= Idle;
        endcase
      end
      if (clear) begin
        j <= '0;
        difference <= '0;
        right <= '0;
        shifted <= RightBits'(threshold);
      end
      if (state == Wait) sum_left <= sum;
      if (state == Add) begin
        j <= j + 3'd1;
        if (4'(j) < m) difference <= difference + DifferenceBits'({1'b0, places[j]});
        else if (4'(j) < n) difference <= difference - DifferenceBits'({1'b0, places[j]});
      end
      if (state == Multiply) begin
        if (sum_left[0]) right <= right + shifted;
        shifted <= shifted <<< 1;
        sum_left <= sum_left >> 1;
        confident <= (RightBits'(difference) <<< 16) >= right;
      end
    end
  end
endmodule
