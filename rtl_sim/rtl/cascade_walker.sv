// The address generator of CONV and MAXPOOL: one step per cycle, without a gap between taps, positions and
// groups. MAXPOOL walks as a convolution of one step per tap whose groups are the words of a pixel.
// A step waits for its weight row, for the bank's read port and, where it is a position's last, for the
// drain to be free when the position arrives there; all of these are registers, and so are the ends of the loops.
// Latency: bank address in the cycle of the step, the step's flags (`step_*`) one cycle later, with the bank's word
// and the weight row.
module cascade_walker
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned IndexBits = index_bits(Engine),
  localparam int unsigned BankBits = bank_bits(Engine)
) (
  input  logic                 clk,
  input  logic                 rst_n,
  input  logic                 start,
  input  operation_t           operation,
  input  window_t              windows[Engine.lanes_p],  // rows inside the map, of each lane, with STRIPED
  output logic                 busy,
  output error_e               problem,
  output logic                 stalled,  // waiting for weights
  // weight rows
  input  logic                 row_here,
  output logic                 row_step,
  output logic                 row_rewind,
  output logic                 row_final,
  output logic                 row_release,
  // the bank's read port
  output logic                 read_near,  // a read may come in this cycle
  input  logic                 read_allowed,
  output logic [BankBits-1:0]  read_address,
  // the drain
  input  logic                 drain_stalled,
  input  logic                 drain_fetched,  // it needs no more residual words of its position
  // one cycle after the step
  output logic                 step_valid,
  output logic                 step_word,  // the bank's word is new
  output logic [Engine.lanes_p-1:0] step_inside,  // and inside the map, in each lane
  output logic [IndexBits-1:0] step_index,  // first channel of the step in a dense layer
  output logic                 step_first,  // of its position
  output logic                 step_shift,  // first of a further level
  output logic                 step_last  // of its position
);
  localparam int unsigned CoordinateBits = 26;  // 65,535 positions times a stride of 255, signed
  localparam int unsigned SubRowBits = $clog2(Engine.sub_row);
  localparam int unsigned DrainBits = $clog2(Engine.drain_k);
  localparam int unsigned SpacingBits = $clog2(Engine.lanes_k + 1);

  typedef logic signed [CoordinateBits-1:0] coordinate_t;
  typedef logic [WalkBits-1:0] address_t;

  instruction_t i;
  logic pooling, weighs;  // MAXPOOL; its steps take weight rows
  logic [15:0] sub_rows, groups, channel_step;
  logic [7:0] levels, steps, steps_last;
  assign i = operation.code;
  assign pooling = i.opcode[2];  // it walks for CONV and MAXPOOL alone
  assign sub_rows = pooling ? 16'd1 : i.sub_rows;
  assign groups = pooling ? i.sub_rows : i.groups;
  assign channel_step = pooling ? 16'(Engine.sub_row) : i.channel_step;
  assign levels = pooling ? 8'd1 : i.levels;
  assign steps = pooling ? 8'd1 : i.steps;
  assign steps_last = pooling ? 8'd1 : i.steps_last;

  // The loops, inner ones last, and what they still have to do.
  logic [7:0] steps_left, next_steps;
  logic [16:0] channels_left;
  logic [31:0] group_channel_next;  // first input channel of the next group
  address_t line_start, position_start, level_row_start, tap_start, address;
  coordinate_t position_y, position_x, tap_y, tap_x;
  logic new_word, new_level, first_step;
  logic [IndexBits-1:0] index;
  logic [SpacingBits-1:0] spacing, spacing_next;
  logic fetches_open, drain_free, drain_free_next;
  logic held;  // the position's last step waits for the drain, and did so in the cycle before

  logic last_step, word_ends, tap_row_ends, window_ends, position_ends, line_ends, map_ends, walk_ends;
  logic last_weights;  // the row is the last one that the packet has for a position
  logic last_group, next_word_last, handed_over, go, step, in_map;
  logic [1:0] one_step, two_steps;  // in a word, and in the last one
  logic second_step;  // of two that are left
  logic [7:1] last, last_next;

  cascade_nest #(
    .Loops(7),
    .Bits({5'd16, 5'd16, 5'd16, 5'd8, 5'd8, 5'd8, 5'd16})
  ) i_nest (
    .clk,
    .rst_n,
    .start,
    .step,
    .total({groups, i.out_height, i.out_width, 16'(levels), 16'(i.kernel_h), 16'(i.kernel_w), sub_rows}),
    .inner_next(last_step ? one_step[next_word_last] : second_step),
    .last_next,
    .last,
    .ends({walk_ends, map_ends, line_ends, position_ends, window_ends, tap_row_ends, word_ends, last_step})
  );
  assign next_word_last = last_next[1];
  assign last_group = last[7];
  assign next_steps = next_word_last ? steps_last : steps;

  cascade_countdown i_weights (
    .clk, .start, .total(i.rows), .step(go), .last(last_weights)
  );

  always_ff @(posedge clk) weighs <= !pooling;
  assign stalled = busy && weighs && !row_here;
  assign read_near = busy && new_word && !held;
  assign go = busy && (row_here || !weighs) && (drain_free || !position_ends) && (read_allowed || !new_word);
  assign step = start || go;  // a walk begins like a step with which everything ends
  assign read_address = BankBits'(address);
  assign in_map = tap_y >= 0 && tap_y < coordinate_t'({1'b0, i.in_height}) &&
      tap_x >= 0 && tap_x < coordinate_t'({1'b0, i.in_width});
  assign row_step = go && weighs;
  assign row_rewind = position_ends;
  assign row_final = last[6] && last[5];
  assign row_release = map_ends;
  assign handed_over = go && position_ends;
  assign drain_free_next = (spacing == '0 || (spacing == SpacingBits'(1) && !drain_stalled)) &&
      (!fetches_open || drain_fetched);

  // Cycles between the last steps of two positions that the drain needs for the first of them.
  function automatic logic [SpacingBits-1:0] spacing_of(logic [16:0] channels);
    logic [16:0] others;  // of the group, beside its first channel
    others = channels - 17'd1;
    if (others >= 17'(Engine.lanes_k)) others = 17'(Engine.lanes_k - 1);
    return SpacingBits'(i.flags.to_result ? others | 17'(Engine.drain_k - 1) : others >> DrainBits);
  endfunction

  address_t later_group, line_start_next, position_start_next, level_row_start_next, tap_start_next;
  assign line_start_next = !map_ends ? line_start + address_t'(operation.row_step) :
      start ? operation.origin : later_group;
  assign position_start_next = line_ends ? line_start_next : position_start + address_t'(operation.column_step);
  assign level_row_start_next = position_ends ? position_start_next : window_ends ? position_start :
      level_row_start + address_t'(operation.tap_row_step);
  assign tap_start_next = tap_row_ends ? level_row_start_next : tap_start + address_t'(operation.tap_column_step);

  coordinate_t origin_y, origin_x, position_y_next, position_x_next, tap_y_next, tap_x_next;
  assign origin_y = -coordinate_t'({1'b0, i.pad_top});
  assign origin_x = -coordinate_t'({1'b0, i.pad_left});
  assign position_x_next = line_ends ? origin_x : position_x + coordinate_t'({1'b0, i.stride_w});
  assign position_y_next = map_ends ? origin_y : line_ends ? position_y + coordinate_t'({1'b0, i.stride_h}) :
      position_y;
  assign tap_x_next = position_ends ? position_x_next : tap_row_ends ? position_x :
      tap_x + coordinate_t'({1'b0, i.dilation_w});
  assign tap_y_next = position_ends ? position_y_next : window_ends ? position_y :
      tap_y + coordinate_t'({1'b0, i.dilation_h});

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      busy <= 1'b0;
      spacing <= '0;
      fetches_open <= 1'b0;
      drain_free <= 1'b1;
      held <= 1'b0;
    end else begin
      if (start) busy <= 1'b1;
      else if (go && walk_ends) busy <= 1'b0;
      if (handed_over) begin
        if (!pooling) begin
          spacing <= spacing_next;
          fetches_open <= i.flags.residual;
        end
        drain_free <= (pooling || (spacing_next == '0 && !i.flags.residual)) && !map_ends;
      end else begin
        if (spacing != '0 && !drain_stalled) spacing <= spacing - 1'b1;
        if (drain_fetched) fetches_open <= 1'b0;
        drain_free <= drain_free_next && !start;
      end
      held <= busy && position_ends && !drain_free && !drain_free_next;
    end

    // Both are one cycle late at a new group: its channels are never more than those of the group before, and no group
    // ends in its first cycle (`drain_free`), nor the first one in its second.
    later_group <= operation.origin + (address_t'(group_channel_next) >> SubRowBits);
    spacing_next <= spacing_of(channels_left);

    one_step <= {steps_last == 8'd1, steps == 8'd1};
    two_steps <= {steps_last == 8'd2, steps == 8'd2};
    if (step) begin
      steps_left <= last_step ? next_steps : steps_left - 8'd1;
      second_step <= last_step ? two_steps[next_word_last] : steps_left == 8'd3;
      first_step <= position_ends;
      new_word <= last_step;
      new_level <= window_ends && !position_ends;
      index <= last_step ? '0 : index + IndexBits'(Engine.slots);
    end
    // Each place moves when its loop ends; those further in follow it.
    if (step && last_step) address <= word_ends ? tap_start_next : address + 1'b1;
    if (step && word_ends) begin
      tap_start <= tap_start_next;
      tap_x <= tap_x_next;
    end
    if (step && tap_row_ends) begin
      level_row_start <= level_row_start_next;
      tap_y <= tap_y_next;
    end
    if (step && position_ends) begin
      position_start <= position_start_next;
      position_x <= position_x_next;
      position_y <= position_y_next;
    end
    if (step && line_ends) line_start <= line_start_next;
    if (step && map_ends) begin
      group_channel_next <= (start ? '0 : group_channel_next) + 32'(channel_step);
      channels_left <= start ? 17'(i.channels) : channels_left - 17'(Engine.lanes_k);
    end
  end

  // What goes with the bank's word, and what is wrong.
  logic step_out_of_range, step_count_wrong;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      step_valid <= 1'b0;
      step_out_of_range <= 1'b0;
      step_count_wrong <= 1'b0;
    end else begin
      step_valid <= go;
      step_out_of_range <= go && new_word && in_map && address >= address_t'(operation.bank_end);
      // The walk must use the packet's rows, and the groups must be those of the channels.
      step_count_wrong <= busy && !pooling && (channels_left == '0 || channels_left[16] ||
          (go && position_ends != last_weights) ||
          (last_group && channels_left > 17'(Engine.lanes_k)));
    end
    if (go) begin
      step_word <= new_word;
      step_index <= index;
      step_first <= first_step;
      step_shift <= new_level;
      step_last <= position_ends;
    end
  end
  assign problem = step_out_of_range ? ErrorAddress : step_count_wrong ? ErrorCount : ErrorNone;

  // A row inside the map may lie outside of it in a lane. It is compared in the step's own cycle, beside `in_map`.
  if (Engine.stripes) begin : g_windows
    logic striped;
    always_ff @(posedge clk) begin
      striped <= i.flags.striped;
      for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
        if (go) step_inside[p] <= in_map && (!striped || is_inside(tap_y[15:0], windows[p]));
      end
    end
  end else begin : g_map
    logic in_all;
    always_ff @(posedge clk) if (go) in_all <= in_map;
    assign step_inside = {Engine.lanes_p{in_all}};
    logic unused;
    always_comb begin
      unused = 1'b0;
      for (int unsigned p = 0; p < Engine.lanes_p; p++) unused ^= ^windows[p];
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_n) assert (!(go && held)) else $error("%m: a step was made whose read was not announced");
  end
`endif
endmodule
