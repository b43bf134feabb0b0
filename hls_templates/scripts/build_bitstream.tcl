# Vivado: block design (processing system, one engine per unit, interconnect), implementation, bitstream.
# vivado -mode batch -source build_bitstream.tcl -tclargs hls|rtl
# The cores come from run_hls.tcl (step export) or from package_rtl.tcl.
# Results: build/<design>.bit, .hwh and .xsa of one basename, build/reports, build/addresses.txt.

set scripts [file dirname [file normalize [info script]]]
set root    [file dirname $scripts]
source [file join $scripts design.tcl]
source [file join $scripts block_design.tcl]
source [file join $scripts package_core.tcl]

if {$argc != 1 || [lindex $argv 0] ni {hls rtl}} {
    puts stderr "ERROR: the argument must be hls or rtl, not '$argv'"
    exit 2
}
set flavour [lindex $argv 0]

# Folders that hold one IP-XACT core each, as the HLS export and package_rtl.tcl leave them.
proc core_folders {} {
    global root units flavour
    set folders {}
    foreach unit $units {
        if {$flavour eq "hls"} {
            set folder [file join $root build hls_$unit solution impl ip]
        } else {
            set folder [file join $root build ip ${unit}_rtl]
        }
        if {![file exists [file join $folder component.xml]]} {
            set before [expr {$flavour eq "hls" ? "run.sh hls $unit csynth export" : "run.sh package"}]
            error "there is no core in $folder: run `$before` first"
        }
        lappend folders $folder
        if {[is_split $unit]} {
            lappend folders [package_read_split $unit]
        }
    }
    return $folders
}

proc run_to {run step} {
    if {$step eq ""} {
        launch_runs $run -jobs 4
    } else {
        launch_runs $run -to_step $step -jobs 4
    }
    wait_on_run $run
    if {[get_property PROGRESS [get_runs $run]] ne "100%"} {
        error "$run stopped: [get_property STATUS [get_runs $run]]"
    }
}

# The .hwh lies under .gen since Vivado 2020.2 and under .srcs before.
proc hardware_handoff {folder name} {
    foreach pattern [list $name.gen/sources_1/bd/*/hw_handoff/*.hwh $name.srcs/sources_1/bd/*/hw_handoff/*.hwh] {
        set found [glob -nocomplain -directory $folder $pattern]
        if {[llength $found]} {
            return [lindex $found 0]
        }
    }
    error "no .hwh under $folder: was the block design generated?"
}

proc build {} {
    global root design_name part board_part units flavour
    set folder [file join $root build vivado]
    set reports [file join $root build reports]
    file mkdir $reports
    set cores [core_folders]

    create_project -force $design_name $folder -part $part
    select_board_file $board_part
    set_property ip_repo_paths $cores [current_project]
    update_ip_catalog
    make_block_design

    set design [get_files $design_name.bd]
    generate_target all $design
    add_files -norecurse [make_wrapper -files $design -top]
    set_property top ${design_name}_wrapper [current_fileset]
    update_compile_order -fileset sources_1

    run_to synth_1 ""
    run_to impl_1 write_bitstream
    open_run impl_1
    report_timing_summary -file [file join $reports timing.txt]
    report_utilization -hierarchical -file [file join $reports utilisation.txt]
    report_clocks -file [file join $reports clocks.txt]

    set base [file join $root build $design_name]
    set slack [get_property STATS.WNS [get_runs impl_1]]
    if {$slack < 0} {
        # no bitstream of a design that may compute wrongly
        file delete $base.bit $base.hwh $base.xsa
        error "timing is not met: worst slack $slack ns (build/reports/timing.txt); lower clock_mhz of the board"
    }
    file copy -force [file join $folder $design_name.runs impl_1 ${design_name}_wrapper.bit] $base.bit
    file copy -force [hardware_handoff $folder $design_name] $base.hwh
    write_hw_platform -fixed -include_bit -force -file $base.xsa
    puts "made $base.bit and $base.hwh, worst slack $slack ns"
}

if {[catch build message]} {
    puts stderr "ERROR: $message"
    exit 1
}
exit 0
