// The address generator of tiles' inputs: for every output-channel group and tile, every word of a pixel (in
// `TransformCycles` slices of its channels) and every column of the tile, the t inputs of that column. It runs as far
// ahead as the transform behind it lets it. Outside the map nothing is read.
// The read at the bank's port is held in registers, and the next one is prepared behind it. Latency: the first read 2
// cycles after `start`; the word's flags one cycle after the read, with the bank's word.
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
  input  logic                 enable,
  input  logic                 stopped,  // `enable` is low, as registers say
  output error_e               problem,
  // the bank's read port
  output logic                 read_near,  // a read may come in this cycle
  input  logic                 read_allowed,
  output logic [BankBits-1:0]  read_address,
  // one cycle after the read
  output logic                 word_valid,
  output logic                 word_inside,  // the map; 0 where it is not
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

  // The read at the port.
  logic here, here_in_map, here_outside;
  logic [SliceBits-1:0] here_slice;
  logic go;
  assign read_near = here && here_in_map && !stopped;
  assign go = here && enable && (read_allowed || !here_in_map);

  // The one behind it, and the loops that make it, inner ones first.
  logic [SliceBits-1:0] slice;
  logic [2:0] row, column;
  coordinate_t tile_y, tile_x;
  address_t line_start, tile_start, word_start, column_start, address;
  logic busy, advance, in_map;
  logic last_word, last_column, last_row, last_group;
  logic column_ends, block_ends, word_ends, tile_ends, line_ends, map_ends;

  assign advance = busy && (go || !here);
  assign column_ends = row == last_tap;
  assign block_ends = column_ends && column == last_tap;
  assign word_ends = block_ends && 32'(slice) == Engine.transform_cycles - 1;
  assign tile_ends = word_ends && last_word;
  assign line_ends = tile_ends && last_column;
  assign map_ends = line_ends && last_row;

  cascade_countdown i_words (
    .clk, .start, .total(i.sub_rows), .step(advance && word_ends), .last(last_word)
  );
  cascade_countdown i_columns (
    .clk, .start, .total(tiles_in(i.out_width, tile_bits)), .step(advance && tile_ends), .last(last_column)
  );
  cascade_countdown i_rows (
    .clk, .start, .total(tiles_in(i.out_height, tile_bits)), .step(advance && line_ends), .last(last_row)
  );
  cascade_countdown i_groups (
    .clk, .start, .total(i.groups), .step(advance && map_ends), .last(last_group)
  );

  coordinate_t y, x;
  assign y = tile_y + coordinate_t'({1'b0, row});
  assign x = tile_x + coordinate_t'({1'b0, column});
  assign in_map = y >= 0 && y < coordinate_t'({1'b0, i.in_height}) && x >= 0 && x < coordinate_t'({1'b0, i.in_width});

  address_t column_next, tile_next, line_next;
  assign column_next = column_start + address_t'(i.in_words);
  assign tile_next = tile_start + (address_t'(i.in_words) << tile_bits);
  assign line_next = line_start + (address_t'(i.in_row_words) << tile_bits);

  coordinate_t origin_y, origin_x;
  assign origin_y = -coordinate_t'({1'b0, i.pad_top});
  assign origin_x = -coordinate_t'({1'b0, i.pad_left});

  always_ff @(posedge clk) begin
    if (!rst_n) busy <= 1'b0;
    else if (start) busy <= 1'b1;
    else if (advance && map_ends && last_group) busy <= 1'b0;

    if (start) begin
      slice <= '0;
      row <= '0;
      column <= '0;
      tile_y <= origin_y;
      tile_x <= origin_x;
      line_start <= operation.origin;
      tile_start <= operation.origin;
      word_start <= operation.origin;
      column_start <= operation.origin;
      address <= operation.origin;
    end else if (advance) begin
      row <= row + 3'd1;
      address <= address + address_t'(i.in_row_words);
      if (column_ends) begin
        row <= '0;
        column <= column + 3'd1;
        column_start <= column_next;
        address <= column_next;
      end
      if (block_ends) begin
        column <= '0;
        slice <= slice + 1'b1;
        column_start <= word_start;
        address <= word_start;
      end
      if (word_ends) begin
        slice <= '0;
        word_start <= word_start + 1'b1;
        column_start <= word_start + 1'b1;
        address <= word_start + 1'b1;
      end
      if (tile_ends) begin
        tile_x <= tile_x + coordinate_t'({1'b0, tile});
        tile_start <= tile_next;
        word_start <= tile_next;
        column_start <= tile_next;
        address <= tile_next;
      end
      if (line_ends) begin
        tile_x <= origin_x;
        tile_y <= tile_y + coordinate_t'({1'b0, tile});
        line_start <= line_next;
        tile_start <= line_next;
        word_start <= line_next;
        column_start <= line_next;
        address <= line_next;
      end
      if (map_ends) begin
        tile_y <= origin_y;
        line_start <= operation.origin;
        tile_start <= operation.origin;
        word_start <= operation.origin;
        column_start <= operation.origin;
        address <= operation.origin;
      end
    end
  end

  logic out_of_range;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      here <= 1'b0;
      word_valid <= 1'b0;
      out_of_range <= 1'b0;
    end else begin
      if (go || !here) here <= busy;
      word_valid <= go;
      out_of_range <= go && here_outside;
    end
    if (advance) begin
      here_in_map <= in_map;
      here_outside <= in_map && address >= address_t'(operation.bank_end);
      here_slice <= slice;
      read_address <= BankBits'(address);
    end
    if (go) begin
      word_inside <= here_in_map;
      word_slice <= here_slice;
    end
  end
  assign problem = out_of_range ? ErrorAddress : ErrorNone;

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_n) assert (!(go && stopped)) else $error("%m: a read was made that was not announced");
  end
`endif
endmodule
