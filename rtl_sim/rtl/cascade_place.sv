// Where the drain's outputs go, position by position: row by row of the map, or tile by tile and there row by row,
// positions of a tile that lie outside the map left out. A direct CONV is one of 1 × 1 tiles.
// Cost: counters and additions; addresses are modulo 2^StoreBits, and out of range before they wrap.
module cascade_place
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned OutputBits = output_bits(Engine)
) (
  input  logic                  clk,
  input  logic                  start,
  input  operation_t            operation,
  input  logic                  advance,  // the position ends
  output logic [StoreBits-1:0]  out_position,
  output logic [StoreBits-1:0]  result_position,
  output logic [StoreBits-1:0]  residual_position,
  output logic [OutputBits-1:0] tile_row,
  output logic [OutputBits-1:0] tile_column,
  output logic                  tile_ends,  // with this position
  output logic                  map_ends
);
  typedef logic [StoreBits-1:0] store_t;

  instruction_t i;
  logic [15:0] rows_left, columns_left;  // of the map, from this position's tile on
  assign i = operation.code;

  always_ff @(posedge clk) begin
    if (start || (advance && map_ends)) result_position <= '0;
    else if (advance) result_position <= result_position + store_t'(i.channels);
  end

  if (Engine.tile == 0) begin : g_position
    logic last_column;
    store_t residual_line;
    assign {tile_row, tile_column} = '0;
    assign tile_ends = 1'b1;
    assign last_column = columns_left == 16'd1;
    assign map_ends = last_column && rows_left == 16'd1;

    always_ff @(posedge clk) begin
      if (start || (advance && map_ends)) begin
        rows_left <= i.out_height;
        columns_left <= i.out_width;
        out_position <= store_t'(i.out_base);
        residual_line <= store_t'(i.residual_base);
        residual_position <= store_t'(i.residual_base);
      end else if (advance) begin
        out_position <= out_position + store_t'(i.out_words);
        residual_position <= residual_position + store_t'(i.residual_pixel_words);
        columns_left <= columns_left - 16'd1;
        if (last_column) begin
          columns_left <= i.out_width;
          rows_left <= rows_left - 16'd1;
          residual_line <= residual_line + store_t'(i.residual_row_words);
          residual_position <= residual_line + store_t'(i.residual_row_words);
        end
      end
    end
  end else begin : g_tile
    typedef struct packed {
      store_t out;
      store_t residual;
    } place_t;

    logic [1:0] tile_bits;
    logic [2:0] tile;
    logic row_ends, line_ends;
    place_t origin, position, row, tile_start, line;  // of the tile's row, the tile, the row of tiles
    place_t column_step, row_step, position_next, row_next, tile_next, line_next;
    assign tile_bits = i.tile == 8'd4 ? 2'd2 : i.tile == 8'd2 ? 2'd1 : 2'd0;
    assign tile = 3'd1 << tile_bits;
    assign out_position = position.out;
    assign residual_position = position.residual;

    assign row_ends = 16'(tile_column) == 16'(tile) - 16'd1 || 16'(tile_column) == columns_left - 16'd1;
    assign tile_ends = row_ends &&
        (16'(tile_row) == 16'(tile) - 16'd1 || 16'(tile_row) == rows_left - 16'd1);
    assign line_ends = tile_ends && columns_left <= 16'(tile);
    assign map_ends = line_ends && rows_left <= 16'(tile);

    assign origin = '{out: store_t'(i.out_base), residual: store_t'(i.residual_base)};
    assign column_step = '{out: store_t'(i.out_words), residual: store_t'(i.residual_pixel_words)};
    assign row_step = '{out: store_t'(operation.out_row_words), residual: store_t'(i.residual_row_words)};

    function automatic place_t after(place_t place, place_t step, logic [1:0] shift);
      return '{out: place.out + (step.out << shift), residual: place.residual + (step.residual << shift)};
    endfunction
    assign position_next = after(position, column_step, 2'd0);
    assign row_next = after(row, row_step, 2'd0);
    assign tile_next = after(tile_start, column_step, tile_bits);
    assign line_next = after(line, row_step, tile_bits);

    always_ff @(posedge clk) begin
      if (start || (advance && map_ends)) begin
        rows_left <= i.out_height;
        columns_left <= i.out_width;
        tile_row <= '0;
        tile_column <= '0;
        position <= origin;
        row <= origin;
        tile_start <= origin;
        line <= origin;
      end else if (advance) begin
        tile_column <= tile_column + 1'b1;
        position <= position_next;
        if (row_ends) begin
          tile_column <= '0;
          tile_row <= tile_row + 1'b1;
          position <= row_next;
          row <= row_next;
        end
        if (tile_ends) begin
          tile_row <= '0;
          columns_left <= columns_left - 16'(tile);
          position <= tile_next;
          row <= tile_next;
          tile_start <= tile_next;
        end
        if (line_ends) begin
          columns_left <= i.out_width;
          rows_left <= rows_left - 16'(tile);
          position <= line_next;
          row <= line_next;
          tile_start <= line_next;
          line <= line_next;
        end
      end
    end
  end
endmodule
