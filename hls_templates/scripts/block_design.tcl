# The block design: a processing system whose memory ports serve the engines' AXI masters, one port a master,
# and whose general-purpose master reaches the engines' control registers. Weights that come wider than a port come through
# two ports, between which cascade_read_split divides the bursts.

# pins and properties that differ between the two processing systems; %d is the number of the memory port
array set ps_zynq7 {
    ip            processing_system7
    clock_mhz     CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ
    clock         FCLK_CLK0
    reset         FCLK_RESET0_N
    control       M_AXI_GP0
    control_clock M_AXI_GP0_ACLK
    memory        S_AXI_HP%d
    memory_clock  S_AXI_HP%d_ACLK
    memory_use    CONFIG.PCW_USE_S_AXI_HP%d
    memory_width  CONFIG.PCW_S_AXI_HP%d_DATA_WIDTH
    fixed         {CONFIG.PCW_USE_M_AXI_GP0 1}
    first_memory  0
    preset        {make_external "FIXED_IO, DDR" apply_board_preset "1"}
    no_preset     {make_external "FIXED_IO, DDR" apply_board_preset "0"}
}
array set ps_zynqmp {
    ip            zynq_ultra_ps_e
    clock_mhz     CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ
    clock         pl_clk0
    reset         pl_resetn0
    control       M_AXI_HPM0_FPD
    control_clock maxihpm0_fpd_aclk
    memory        S_AXI_HP%d_FPD
    memory_clock  saxihp%d_fpd_aclk
    memory_use    CONFIG.PSU__USE__S_AXI_GP%d
    memory_width  CONFIG.PSU__SAXIGP%d__DATA_WIDTH
    fixed         {CONFIG.PSU__USE__M_AXI_GP0 1 CONFIG.PSU__USE__M_AXI_GP1 0 CONFIG.PSU__USE__M_AXI_GP2 0}
    first_memory  2
    preset        {apply_board_preset "1"}
    no_preset     {apply_board_preset "0"}
}

# Take the newest board file that matches; without one the part alone is set, and the processing system keeps
# its default memory settings: enough for a system that is already booted (PYNQ), not for a boot image.
proc select_board_file {pattern} {
    global has_board_file
    set found {}
    if {$pattern ne ""} {
        set found [lsort -dictionary [get_board_parts -quiet $pattern]]
    }
    set has_board_file [expr {[llength $found] > 0}]
    if {$has_board_file} {
        set_property board_part [lindex $found end] [current_project]
    } else {
        puts "WARNING: no board file matches '$pattern': load the bitstream on a booted system only"
    }
}

proc cell {vlnv name} {
    return [create_bd_cell -type ip -vlnv $vlnv $name]
}

proc wire {args} {
    set pins {}
    foreach name $args {
        lappend pins [get_bd_pins $name]
    }
    connect_bd_net {*}$pins
}

proc interface {from to} {
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}

proc make_processing_system {ports} {
    global processor has_board_file clock_mhz memory_bits
    upvar #0 ps_$processor ps
    cell xilinx.com:ip:$ps(ip) ps
    apply_bd_automation -rule xilinx.com:bd_rule:$ps(ip) \
        -config [expr {$has_board_file ? $ps(preset) : $ps(no_preset)}] [get_bd_cells ps]
    set settings [list {*}$ps(fixed) $ps(clock_mhz) $clock_mhz]
    for {set port 0} {$port < $ports} {incr port} {
        set number [expr {$port + $ps(first_memory)}]
        lappend settings [format $ps(memory_use) $number] 1 [format $ps(memory_width) $number] $memory_bits
    }
    set_property -dict $settings [get_bd_cells ps]
}

# of the addresses of both processing systems' memory
set split_range 64G

# Whether a unit's weights come through two memory ports: where the bus is wider than one, and the unit the only one.
proc is_split {unit} {
    global memory_bits units unit_$unit
    return [expr {[llength $units] == 1 && [set unit_${unit}(bus_bits)] > $memory_bits}]
}

# Connect an AXI master to a memory port of the processing system.
proc bridge {name master port} {
    global processor
    upvar #0 ps_$processor ps
    # converts the width, and on Zynq-7000 AXI4 to AXI3
    cell xilinx.com:ip:smartconnect $name
    set_property -dict {CONFIG.NUM_SI 1 CONFIG.NUM_MI 1} [get_bd_cells $name]
    wire ps/$ps(clock) $name/aclk ps/[format $ps(memory_clock) $port]
    wire reset/peripheral_aresetn $name/aresetn
    interface $master $name/S00_AXI
    interface $name/M00_AXI ps/[format $ps(memory) $port]
}

# Connect a unit's weights to two memory ports, of which the first is given.
proc split_weights {unit port} {
    global processor
    upvar #0 ps_$processor ps
    cell cascade:rtl:cascade_read_split:1.0 ${unit}_split
    wire ps/$ps(clock) ${unit}_split/ap_clk
    wire reset/peripheral_aresetn ${unit}_split/ap_rst_n
    interface $unit/m_axi_gmem1 ${unit}_split/s_axi
    bridge ${unit}_gmem1_even ${unit}_split/m_axi_even $port
    bridge ${unit}_gmem1_odd ${unit}_split/m_axi_odd [expr {$port + 1}]
}

proc make_block_design {} {
    global design_name processor units flavour root split_range
    upvar #0 ps_$processor ps
    set ports 0
    foreach unit $units {
        incr ports [expr {[is_split $unit] ? 3 : 2}]
    }
    if {$ports > 4} {
        error "the processing system has 4 memory ports, and [llength $units] units need $ports"
    }
    create_bd_design $design_name
    make_processing_system $ports

    cell xilinx.com:ip:proc_sys_reset reset
    wire ps/$ps(clock) reset/slowest_sync_clk ps/$ps(control_clock)
    wire ps/$ps(reset) reset/ext_reset_in

    cell xilinx.com:ip:smartconnect control
    set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI [llength $units]] [get_bd_cells control]
    wire ps/$ps(clock) control/aclk
    wire reset/peripheral_aresetn control/aresetn
    interface ps/$ps(control) control/S00_AXI

    set port 0
    set index 0
    foreach unit $units {
        global unit_$unit
        array set this [array get unit_$unit]
        cell cascade:$flavour:$this(top):1.0 $unit
        wire ps/$ps(clock) $unit/ap_clk
        wire reset/peripheral_aresetn $unit/ap_rst_n
        interface control/[format M%02d_AXI $index] $unit/s_axi_control
        bridge ${unit}_gmem0 $unit/m_axi_gmem0 $port
        incr port
        if {[is_split $unit]} {
            split_weights $unit $port
            incr port 2
        } else {
            bridge ${unit}_gmem1 $unit/m_axi_gmem1 $port
            incr port
        }
        incr index
    }

    set addresses [open [file join $root build addresses.txt] w]
    foreach unit $units {
        array set this [array get unit_$unit]
        assign_bd_address -offset $this(control_base) [get_bd_addr_segs $unit/s_axi_control/*]
        if {[is_split $unit]} {
            # it passes every address on
            assign_bd_address -offset 0x0 -range $split_range [get_bd_addr_segs ${unit}_split/s_axi/*]
        }
        puts $addresses "$unit $this(control_base)"
    }
    close $addresses
    assign_bd_address
    validate_bd_design
    save_bd_design
}
