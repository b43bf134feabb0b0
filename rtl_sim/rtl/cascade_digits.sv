// The balanced digits of the entries of a slice, and the word that holds them: the digits of an entry side by side, or
// its lowest one alone; entries that need no cut are elements as they are.
// Combinational; the loader keeps the entries, and takes `value_next` where their next digits go to another word.
module cascade_digits
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned DigitBits = entry_digit_bits(Engine),
  localparam int unsigned EntryDigits = digits_of_entry(Engine),
  localparam int unsigned TableLanes = table_lanes(Engine),
  localparam int unsigned SliceBits = index_width($clog2(Engine.sub_row) + 1)
) (
  input  logic                                                      wide,  // of two precisions: a digit holds every entry
  input  logic                                                      uncut,  // entries are elements
  input  logic [SliceBits-1:0]                                      slice_log,  // log2 of a slice's bytes
  input  logic [EntryDigits-1:0][TableLanes-1:0]                    used,  // digits and lanes of a slice that a word holds
  input  logic signed [EntryValueBits-1:0]                          value[TableLanes],
  output logic signed [EntryValueBits-1:0]                          value_next[TableLanes],  // without its lowest digit
  output logic [Engine.sub_row-1:0][Engine.activation_bits-1:0]     elements
);
  logic signed [DigitBits-1:0] digit[TableLanes][EntryDigits];  // of each value
  always_comb begin
    for (int unsigned j = 0; j < TableLanes; j++) begin
      logic signed [EntryValueBits-1:0] left;
      left = value[j];
      for (int unsigned d = 0; d < EntryDigits; d++) begin
        digit[j][d] = left[DigitBits-1:0];
        left = (left - EntryValueBits'(digit[j][d])) >>> DigitBits;
        if (d == 0) value_next[j] = wide ? '0 : left;
      end
    end
    elements = '0;
    for (int unsigned n = 0; n <= $clog2(TableLanes); n++) begin
      for (int unsigned e = 0; e < Engine.sub_row; e++) begin
        int unsigned d, j;
        d = e >> n;
        j = e - (d << n);
        if (slice_log == SliceBits'(n) && j < TableLanes && d < EntryDigits && used[d][j])
          elements[e] = uncut || (wide && d == 0) ? value[j][Engine.activation_bits-1:0] :
              wide ? '0 : (Engine.activation_bits)'(digit[j][d]);
      end
    end
  end
endmodule
