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
  logic last_column, last_row;  // of the map's tiles
  assign i = operation.code;

  always_ff @(posedge clk) begin
    if (start || (advance && map_ends)) result_position <= '0;
    else if (advance) result_position <= result_position + store_t'(i.channels);
  end

  if (Engine.tile == 0) begin : g_position
    store_t residual_line;
    assign {tile_row, tile_column} = '0;
    assign tile_ends = 1'b1;
    assign map_ends = last_column && last_row;
    cascade_countdown i_columns (
      .clk, .start, .total(i.out_width), .step(advance), .last(last_column)
    );
    cascade_countdown i_rows (
      .clk, .start, .total(i.out_height), .step(advance && last_column), .last(last_row)
    );

    always_ff @(posedge clk) begin
      if (start || (advance && map_ends)) begin
        out_position <= store_t'(i.out_base);
        residual_line <= store_t'(i.residual_base);
        residual_position <= store_t'(i.residual_base);
      end else if (advance) begin
        out_position <= out_position + store_t'(i.out_words);
        residual_position <= residual_position + store_t'(i.residual_pixel_words);
        if (last_column) begin
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

    typedef logic [OutputBits-1:0] output_t;
    logic [1:0] tile_bits;
    output_t last_output, row_last, column_last;  // of a tile, and of this one
    logic row_ends, line_ends;
    place_t origin, position, row, tile_start, line;  // of the tile's row, the tile, the row of tiles
    place_t column_step, row_step, position_next, row_next, tile_next, line_next;
    assign tile_bits = i.tile[2:1];  // of 1, 2 or 4
    assign last_output = output_t'((3'd1 << tile_bits) - 3'd1);
    assign out_position = position.out;
    assign residual_position = position.residual;

    assign column_last = last_output & (last_column ? output_t'(i.out_width) - 1'b1 : '1);
    assign row_last = last_output & (last_row ? output_t'(i.out_height) - 1'b1 : '1);
    assign row_ends = tile_column == column_last;
    assign tile_ends = row_ends && tile_row == row_last;
    assign line_ends = tile_ends && last_column;
    assign map_ends = line_ends && last_row;
    cascade_countdown i_columns (
      .clk, .start, .total(tiles_in(i.out_width, tile_bits)), .step(advance && tile_ends), .last(last_column)
    );
    cascade_countdown i_rows (
      .clk, .start, .total(tiles_in(i.out_height, tile_bits)), .step(advance && line_ends), .last(last_row)
    );

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
          position <= tile_next;
          row <= tile_next;
          tile_start <= tile_next;
        end
        if (line_ends) begin
          position <= line_next;
          row <= line_next;
          tile_start <= line_next;
          line <= line_next;
        end
      end
    end
  end
endmodule
