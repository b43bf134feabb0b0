// The address generator of tiles' inputs: for every output-channel group and tile, every word of a pixel (in
// `TransformCycles` slices of its channels) and every column of the tile, the t inputs of that column. It runs as far
// ahead as the transform behind it lets it. Outside the map nothing is read.
// The read at the bank's port is held in registers, and so is the one behind it where the port's does not go: the loops
// never wait for the port in the cycle itself. Latency: the first read 2 cycles after `start`; the word's flags one cycle
// after the read, with the bank's word.
module cascade_tile_reader
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned SliceBits = index_width(Engine.transform_cycles),
  localparam int unsigned BankBits = bank_bits(Engine)
) (
  input  logic                 clk,
  input  logic                 rst_n,
  input  logic                 start,
  input  operation_t           operation,
  input  window_t              windows[Engine.lanes_p],  // rows inside the map, of each lane, with STRIPED
  input  logic                 enable,
  input  logic                 stopped,  // `enable` is low, as registers say
  output error_e               problem,
  // the bank's read port
  output logic                 read_near,  // a read may come in this cycle
  input  logic                 read_allowed,
  output logic [BankBits-1:0]  read_address,
  // one cycle after the read
  output logic                 word_valid,
  output logic [Engine.lanes_p-1:0] word_inside,  // the map, in each lane; 0 where it is not
  output logic [SliceBits-1:0] word_slice
);
  localparam int unsigned CoordinateBits = 18;

  typedef logic signed [CoordinateBits-1:0] coordinate_t;
  typedef logic [WalkBits-1:0] address_t;

  instruction_t i;
  logic four;
  logic [1:0] tile_bits;
  logic [2:0] tile, last_tap;
  assign i = operation.code;
  assign four = i.tile[2];  // 4, not 2
  assign tile_bits = four ? 2'd2 : 2'd1;
  assign tile = four ? 3'd4 : 3'd2;
  assign last_tap = four ? 3'd5 : 3'd3;

  // The read at the port, the one that waits behind it, and the one that the loops make.
  typedef struct packed {
    logic                 in_map;
    logic                 outside;  // of the banks
    logic [15:0]          row;  // of the map, where the engine has stripes
    logic [SliceBits-1:0] slice;
    logic [BankBits-1:0]  address;
  } read_t;
  read_t at_port, waiting, made;
  logic here, waits, go;
  assign read_near = here && at_port.in_map && !stopped;
  assign go = here && enable && (read_allowed || !at_port.in_map);
  assign read_address = at_port.address;

  // The loops, inner ones first.
  logic [SliceBits-1:0] slice;
  logic [2:0] row, column;
  coordinate_t tile_y, tile_x;
  address_t line_start, tile_start, word_start, column_start, address;
  logic busy, advance, step, in_map;
  logic column_ends, block_ends, word_ends, tile_ends, line_ends, map_ends, walk_ends;
  logic [6:1] last, last_next;
  assign advance = busy && !waits;
  assign step = start || advance;  // a walk begins like a step with which everything ends

  cascade_nest #(
    .Loops(6),
    .Bits({5'd16, 5'd16, 5'd16, 5'd16, 5'd7, 5'd3})
  ) i_nest (
    .clk,
    .rst_n,
    .start,
    .step,
    .total({
      i.groups, tiles_in(i.out_height, tile_bits), tiles_in(i.out_width, tile_bits), i.sub_rows,
      16'(Engine.transform_cycles), 16'(last_tap) + 16'd1
    }),
    .inner_next(!column_ends && row + 3'd1 == last_tap),
    .last_next,
    .last,
    .ends({walk_ends, map_ends, line_ends, tile_ends, word_ends, block_ends, column_ends})
  );
  logic unused;
  assign unused = ^{last, last_next};

  coordinate_t y, x;
  assign y = tile_y + coordinate_t'({1'b0, row});
  assign x = tile_x + coordinate_t'({1'b0, column});
  assign in_map = y >= 0 && y < coordinate_t'({1'b0, i.in_height}) && x >= 0 && x < coordinate_t'({1'b0, i.in_width});

  address_t line_start_next, tile_start_next, word_start_next, column_start_next;
  assign line_start_next = map_ends ? operation.origin : line_start + (address_t'(i.in_row_words) << tile_bits);
  assign tile_start_next = line_ends ? line_start_next : tile_start + (address_t'(i.in_words) << tile_bits);
  assign word_start_next = tile_ends ? tile_start_next : word_start + 1'b1;
  assign column_start_next = word_ends ? word_start_next : block_ends ? word_start :
      column_start + address_t'(i.in_words);

  coordinate_t origin_y, origin_x;
  assign origin_y = -coordinate_t'({1'b0, i.pad_top});
  assign origin_x = -coordinate_t'({1'b0, i.pad_left});

  always_ff @(posedge clk) begin
    if (!rst_n) busy <= 1'b0;
    else if (start) busy <= 1'b1;
    else if (advance && walk_ends) busy <= 1'b0;

    // Each place moves when its loop ends; those further in follow it.
    if (step) begin
      row <= column_ends ? '0 : row + 3'd1;
      address <= column_ends ? column_start_next : address + address_t'(i.in_row_words);
    end
    if (step && column_ends) begin
      column <= block_ends ? '0 : column + 3'd1;
      column_start <= column_start_next;
    end
    if (step && block_ends) slice <= word_ends ? '0 : slice + 1'b1;
    if (step && word_ends) word_start <= word_start_next;
    if (step && tile_ends) begin
      tile_start <= tile_start_next;
      tile_x <= line_ends ? origin_x : tile_x + coordinate_t'({1'b0, tile});
    end
    if (step && line_ends) begin
      line_start <= line_start_next;
      tile_y <= map_ends ? origin_y : tile_y + coordinate_t'({1'b0, tile});
    end
  end

  assign made = '{
      in_map: in_map,
      outside: in_map && address >= address_t'(operation.bank_end),
      row: Engine.stripes ? y[15:0] : '0,
      slice: slice,
      address: BankBits'(address)
  };

  logic out_of_range;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      here <= 1'b0;
      waits <= 1'b0;
      word_valid <= 1'b0;
      out_of_range <= 1'b0;
    end else begin
      if (go || !here) here <= busy || waits;
      waits <= here && !go && (busy || waits);
      word_valid <= go;
      out_of_range <= go && at_port.outside;
    end
    if (go || !here) at_port <= waits ? waiting : made;
    if (!waits) waiting <= made;
    if (go) word_slice <= at_port.slice;
  end

  // A row inside the map may lie outside of it in a lane. It is compared while its read is at the port.
  if (Engine.stripes) begin : g_windows
    logic striped;
    always_ff @(posedge clk) begin
      striped <= i.flags.striped;
      for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
        if (go) word_inside[p] <= at_port.in_map && (!striped || is_inside(at_port.row, windows[p]));
      end
    end
  end else begin : g_map
    logic in_all;
    always_ff @(posedge clk) if (go) in_all <= at_port.in_map;
    assign word_inside = {Engine.lanes_p{in_all}};
    logic unused_rows;
    always_comb begin
      unused_rows = ^at_port.row;
      for (int unsigned p = 0; p < Engine.lanes_p; p++) unused_rows ^= ^windows[p];
    end
  end
  assign problem = out_of_range ? ErrorAddress : ErrorNone;

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_n) assert (!(go && stopped)) else $error("%m: a read was made that was not announced");
  end
`endif
endmodule
