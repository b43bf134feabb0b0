# Stub of Vivado's block designs: cells with the pins and interfaces that the real IP has, driven once each,
# all connected when the design is validated, every control interface with an address.

# cell -> ip; "cell/pin" -> direction; "cell/interface" -> master or slave; what is connected or addressed
array set bd_ip {}
array set bd_pin {}
array set bd_interface {}
array set bd_driven {}
array set bd_joined {}
array set bd_address {}
set bd_design ""

proc pins {cell direction args} {
    foreach pin $args {
        set ::bd_pin($cell/$pin) $direction
    }
}
proc interfaces {cell mode args} {
    foreach name $args {
        set ::bd_interface($cell/$name) $mode
    }
}

proc create_bd_design {args} {
    set ::bd_design [positional create_bd_design [parse create_bd_design {} $args] 1]
}

proc create_bd_cell {args} {
    set call [parse create_bd_cell {-type {ip} -vlnv value} $args]
    set cell [positional create_bd_cell $call 1]
    if {$::bd_design eq "" || [info exists ::bd_ip($cell)]} {
        error "create_bd_cell: no design, or a second cell '$cell'"
    }
    set vlnv [dict get $call -vlnv]
    set ::bd_ip($cell) [lindex [split $vlnv :] 2]
    switch -glob -- $vlnv {
        xilinx.com:ip:processing_system7 {
            pins $cell out FCLK_CLK0 FCLK_RESET0_N
        }
        xilinx.com:ip:zynq_ultra_ps_e {
            pins $cell out pl_clk0 pl_resetn0
        }
        xilinx.com:ip:proc_sys_reset {
            pins $cell in slowest_sync_clk ext_reset_in
            pins $cell out peripheral_aresetn
        }
        xilinx.com:ip:smartconnect {
            pins $cell in aclk aresetn
        }
        cascade:* {
            if {$vlnv ni [catalogue]} {
                error "create_bd_cell: no IP '$vlnv' in the catalogue ([catalogue])"
            }
            pins $cell in ap_clk ap_rst_n
            if {$::bd_ip($cell) eq "cascade_read_split"} {
                interfaces $cell slave s_axi
                interfaces $cell master m_axi_even m_axi_odd
            } else {
                interfaces $cell slave s_axi_control
                interfaces $cell master m_axi_gmem0 m_axi_gmem1
            }
        }
        default { error "create_bd_cell: no IP '$vlnv'" }
    }
    return $cell
}

proc catalogue {} {
    set result {}
    foreach folder [dict get $::viv repos] {
        set file [open [file join $folder component.xml]]
        lappend result [string trim [read $file]]
        close $file
    }
    return $result
}

proc apply_bd_automation {args} {
    set call [parse apply_bd_automation {-rule value -config value} $args]
    set cell [positional apply_bd_automation $call 1]
    if {[dict get $call -rule] ne "xilinx.com:bd_rule:$::bd_ip($cell)"} {
        error "apply_bd_automation: the rule is not for $::bd_ip($cell)"
    }
    set known {make_external apply_board_preset}
    foreach key [dict keys [dict get $call -config]] {
        if {$key ni $known} { error "apply_bd_automation: unknown '$key'" }
    }
}

proc bd_configure {cell settings} {
    dict for {name value} $settings {
        switch -regexp -matchvar found -- "$::bd_ip($cell) $name" {
            {^smartconnect CONFIG\.NUM_SI$} {
                for {set i 0} {$i < $value} {incr i} { interfaces $cell slave [format S%02d_AXI $i] }
            }
            {^smartconnect CONFIG\.NUM_MI$} {
                for {set i 0} {$i < $value} {incr i} { interfaces $cell master [format M%02d_AXI $i] }
            }
            {^processing_system7 CONFIG\.PCW_USE_M_AXI_GP0$} {
                interfaces $cell master M_AXI_GP0
                pins $cell in M_AXI_GP0_ACLK
            }
            {^processing_system7 CONFIG\.PCW_USE_S_AXI_HP([0-3])$} {
                interfaces $cell slave S_AXI_HP[lindex $found 1]
                pins $cell in S_AXI_HP[lindex $found 1]_ACLK
            }
            {^processing_system7 CONFIG\.PCW_S_AXI_HP[0-3]_DATA_WIDTH$} {
                if {$value ni {32 64}} { error "PCW_S_AXI_HP: the width must be 32 or 64, not $value" }
            }
            {^processing_system7 CONFIG\.PCW_FPGA0_PERIPHERAL_FREQMHZ$} -
            {^zynq_ultra_ps_e CONFIG\.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ$} {
                if {![string is integer -strict $value]} { error "$name: '$value' is no frequency" }
            }
            {^zynq_ultra_ps_e CONFIG\.PSU__USE__M_AXI_GP([0-2])$} {
                if {$value && [lindex $found 1] == 0} {
                    interfaces $cell master M_AXI_HPM0_FPD
                    pins $cell in maxihpm0_fpd_aclk
                }
            }
            {^zynq_ultra_ps_e CONFIG\.PSU__USE__S_AXI_GP([2-5])$} {
                set port [expr {[lindex $found 1] - 2}]
                interfaces $cell slave S_AXI_HP${port}_FPD
                pins $cell in saxihp${port}_fpd_aclk
            }
            {^zynq_ultra_ps_e CONFIG\.PSU__SAXIGP[2-5]__DATA_WIDTH$} {
                if {$value ni {32 64 128}} { error "PSU__SAXIGP: the width must be 32, 64 or 128, not $value" }
            }
            default { error "set_property: $::bd_ip($cell) has no property '$name'" }
        }
    }
}

proc lookup {command table name} {
    upvar #0 $table entries
    if {![info exists entries($name)]} {
        error "$command: no '$name'"
    }
    return $name
}
proc get_bd_cells {args} { return [lookup get_bd_cells bd_ip [positional get_bd_cells [parse get_bd_cells {} $args] 1]] }
proc get_bd_pins {args} { return [lookup get_bd_pins bd_pin [positional get_bd_pins [parse get_bd_pins {} $args] 1]] }
proc get_bd_intf_pins {args} {
    return [lookup get_bd_intf_pins bd_interface [positional get_bd_intf_pins [parse get_bd_intf_pins {} $args] 1]]
}

proc connect_bd_net {args} {
    parse connect_bd_net {} $args
    set drivers 0
    foreach pin $args {
        if {$::bd_pin($pin) eq "out"} {
            incr drivers
        } elseif {[info exists ::bd_driven($pin)]} {
            error "connect_bd_net: '$pin' is driven already"
        } else {
            set ::bd_driven($pin) 1
        }
    }
    if {$drivers != 1} {
        error "connect_bd_net: $drivers drivers on one net"
    }
}
proc connect_bd_intf_net {args} {
    lassign [positional connect_bd_intf_net [parse connect_bd_intf_net {} $args] 2] from to
    foreach {pin mode} [list $from master $to slave] {
        if {$::bd_interface($pin) ne $mode || [info exists ::bd_joined($pin)]} {
            error "connect_bd_intf_net: '$pin' is no $mode, or is connected already"
        }
        set ::bd_joined($pin) 1
    }
}

proc get_bd_addr_segs {args} {
    set pattern [positional get_bd_addr_segs [parse get_bd_addr_segs {} $args] 1]
    foreach name [array names ::bd_interface] {
        if {[string match $pattern $name/reg] && $::bd_interface($name) eq "slave"} {
            return $name
        }
    }
    error "get_bd_addr_segs: nothing matches '$pattern'"
}
proc assign_bd_address {args} {
    set call [parse assign_bd_address {-offset value -range value} $args]
    if {[dict exists $call -offset]} {
        set ::bd_address([positional assign_bd_address $call 1]) [dict get $call -offset]
    }
}

proc validate_bd_design {args} {
    parse validate_bd_design {} $args
    foreach {pin direction} [array get ::bd_pin] {
        if {$direction eq "in" && ![info exists ::bd_driven($pin)]} {
            error "validate_bd_design: '$pin' is not connected"
        }
    }
    foreach pin [array names ::bd_interface] {
        if {![info exists ::bd_joined($pin)]} {
            error "validate_bd_design: interface '$pin' is not connected"
        }
        if {[string match */s_axi* $pin] && ![info exists ::bd_address($pin)]} {
            error "validate_bd_design: '$pin' has no address"
        }
    }
    set offsets [lmap {pin offset} [array get ::bd_address *s_axi_control*] {set offset}]
    if {[llength [lsort -unique $offsets]] != [llength $offsets]} {
        error "validate_bd_design: two interfaces at one address ($offsets)"
    }
}
proc save_bd_design {args} { parse save_bd_design {} $args }
proc get_files {args} { return [positional get_files [parse get_files {} $args] 1] }
proc generate_target {args} {
    positional generate_target [parse generate_target {} $args] 2
    set folder [file join [dict get $::viv folder] $::bd_design.gen sources_1 bd $::bd_design hw_handoff]
    file mkdir $folder
    close [open [file join $folder $::bd_design.hwh] w]
}
proc make_wrapper {args} {
    parse make_wrapper {-files value -top flag} $args
    set path [file join [dict get $::viv folder] ${::bd_design}_wrapper.v]
    close [open $path w]
    return $path
}
