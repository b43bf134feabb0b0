// What the engine's parameters may be, as toolflow.engine.config.EngineConfig has it: elaboration stops at what is not.
// Checks only: no ports, no logic.
module cascade_bounds
  import cascade_pkg::*;
#(
  parameter int unsigned LanesK = 16,
  parameter int unsigned LanesP = 8,
  parameter int unsigned Slots = 1,
  parameter int unsigned DrainK = 1,
  parameter int unsigned SubRow = 8,
  parameter int unsigned WeightBits = 8,
  parameter int unsigned ActivationBits = 8,
  parameter int unsigned AccumulatorBits = 32,
  parameter int unsigned BusBits = 128,
  parameter int unsigned BankDepth = 4096,
  parameter int unsigned WeightDepth = 1024,
  parameter int unsigned ResultDepth = 16,
  parameter int unsigned InputLanes = 4,
  parameter int unsigned TableWords = 1,
  parameter int unsigned Tile = 0,
  parameter int unsigned TransformCycles = 1,
  parameter int unsigned TransformDepth = 1
) ();
  localparam int unsigned Granule = greatest_common_divisor(LanesK, SubRow);

  if (LanesK < 1 || LanesK > 512 || LanesP < 1 || LanesP > 128 || TableWords < 1 || TableWords > 64) begin : g_check_1
    $fatal(1, "cascade_engine: LanesK must be 1 to 512, LanesP 1 to 128 and TableWords 1 to 64, not %0d, %0d and %0d",
           LanesK, LanesP, TableWords);
  end
  if (BankDepth < 1 || BankDepth > 1 << 20 || WeightDepth < 1 || WeightDepth > 1 << 16 || ResultDepth < 1 ||
      ResultDepth > 1 << 14) begin : g_check_2
    $fatal(1, "cascade_engine: BankDepth must be 1 to 2^20, WeightDepth 1 to 2^16 and ResultDepth 1 to 2^14, not %0d, %0d and %0d",
           BankDepth, WeightDepth, ResultDepth);
  end
  if (SubRow < 1 || (SubRow & (SubRow - 1)) != 0 || SubRow * 8 > BusBits) begin : g_check_3
    $fatal(1, "cascade_engine: SubRow must be a power of two of at most BusBits / 8 = %0d, not %0d", BusBits / 8, SubRow);
  end
  if (Slots < 1 || (Slots & (Slots - 1)) != 0 || Slots > SubRow) begin : g_check_4
    $fatal(1, "cascade_engine: Slots must be a power of two of at most SubRow = %0d, not %0d", SubRow, Slots);
  end
  if (DrainK < 1 || Granule % maximum(DrainK, 1) != 0) begin : g_check_5
    $fatal(1, "cascade_engine: DrainK must divide gcd(LanesK, SubRow) = %0d, not be %0d", Granule, DrainK);
  end
  if (InputLanes < 1 || (InputLanes & (InputLanes - 1)) != 0 || InputLanes > SubRow) begin : g_check_6
    $fatal(1, "cascade_engine: InputLanes must be a power of two of at most SubRow = %0d, not %0d", SubRow, InputLanes);
  end
  if (BusBits != 64 && BusBits != 128 && BusBits != 256 && BusBits != 512) begin : g_check_7
    $fatal(1, "cascade_engine: BusBits must be 64, 128, 256 or 512, not %0d", BusBits);
  end
  if (WeightBits < 2 || WeightBits > 12 || ActivationBits < 2 || ActivationBits > 8) begin : g_check_8
    $fatal(1, "cascade_engine: WeightBits must be 2 to 12 and ActivationBits 2 to 8, not %0d and %0d", WeightBits, ActivationBits);
  end
  if (AccumulatorBits < 8 || AccumulatorBits > 40) begin : g_check_9
    $fatal(1, "cascade_engine: AccumulatorBits must be 8 to 40, not %0d", AccumulatorBits);
  end
  if (Tile != 0 && Tile != 2 && Tile != 4) begin : g_check_10
    $fatal(1, "cascade_engine: Tile must be 0, 2 or 4, not %0d", Tile);
  end
  if (TransformCycles < 1 || (TransformCycles & (TransformCycles - 1)) != 0 || TransformCycles > SubRow) begin : g_check_11
    $fatal(1, "cascade_engine: TransformCycles must be a power of two of at most SubRow = %0d, not %0d", SubRow,
           TransformCycles);
  end
  if (TransformDepth < 1 || TransformDepth > 1 << 16) begin : g_check_12
    $fatal(1, "cascade_engine: TransformDepth must be 1 to 2^16, not %0d", TransformDepth);
  end
endmodule
