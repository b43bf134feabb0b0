# Stub of Vivado's Tcl commands: projects, IP packaging, runs and reports. Block designs are in vivado_bd.tcl.

set viv [dict create name "" folder "" part "" files {} repos {} top "" core {} impl 0]

proc need_project {command} {
    if {[dict get $::viv name] eq ""} {
        error "$command: no open project"
    }
}
proc create_project {args} {
    set call [parse create_project {-force flag -part value} $args]
    lassign [positional create_project $call 2] name folder
    file mkdir $folder
    foreach {key value} [list name $name folder $folder part [dict get $call -part] files {} top ""] {
        dict set ::viv $key $value
    }
}
proc close_project {args} {
    parse close_project {} $args
    need_project close_project
    dict set ::viv name ""
}
proc current_project {} { need_project current_project; return @project }
proc current_fileset {} { need_project current_fileset; return @fileset }
proc get_board_parts {args} {
    set call [parse get_board_parts {-quiet flag} $args]
    set result {}
    foreach part $::env(STUB_BOARD_PARTS) {
        if {[string match [positional get_board_parts $call 1] $part]} {
            lappend result $part
        }
    }
    return $result
}
proc add_files {args} {
    need_project add_files
    set call [parse add_files {-norecurse flag} $args]
    foreach path [positional add_files $call 1] {
        need_file add_files $path
        dict lappend ::viv files $path
    }
}
proc update_compile_order {args} { parse update_compile_order {-fileset sources_1} $args }
proc update_ip_catalog {args} { parse update_ip_catalog {} $args }

proc set_property {args} {
    set call [parse set_property {-dict value} $args]
    if {[dict exists $call -dict]} {
        bd_configure [positional set_property $call 1] [dict get $call -dict]
        return
    }
    lassign [positional set_property $call 3] name value object
    set key "$object.[string tolower $name]"
    switch -glob -- $key {
        @project.board_part { if {$value ni $::env(STUB_BOARD_PARTS)} { error "set_property: no board part '$value'" } }
        @project.ip_repo_paths { dict set ::viv repos $value }
        @fileset.top { dict set ::viv top $value }
        @core.name - @core.version { dict set ::viv core [string tolower $name] $value }
        default { error "set_property: unknown property '$name' of '$object'" }
    }
}
proc get_property {args} {
    lassign [positional get_property [parse get_property {} $args] 2] name object
    switch -- $name {
        PROGRESS { return [expr {[info exists ::env(STUB_FAIL)] && "@run.$::env(STUB_FAIL)" eq $object ? "40%" : "100%"}] }
        STATUS { return "stub status of $object" }
        STATS.WNS { return [expr {[info exists ::env(STUB_WNS)] ? $::env(STUB_WNS) : 0.123}] }
        default { error "get_property: unknown property '$name'" }
    }
}

namespace eval ipx {
    proc package_project {args} {
        set call [parse ipx::package_project {
            -root_dir value -vendor value -library value -taxonomy value -import_files flag -force flag
        } $args]
        if {[dict get $::viv top] eq "" || ![llength [dict get $::viv files]]} {
            error "ipx::package_project: set top and add_files first"
        }
        file mkdir [dict get $call -root_dir]
        dict set ::viv core [dict create folder [dict get $call -root_dir] \
            vendor [dict get $call -vendor] library [dict get $call -library] buses {}]
    }
    proc current_core {} { return @core }
    # an interface exists where the top's file has its ports
    proc get_bus_interfaces {args} {
        set call [parse ipx::get_bus_interfaces {-of_objects @core} $args]
        set bus [positional ipx::get_bus_interfaces $call 1]
        foreach path [dict get $::viv files] {
            set file [open $path]
            set text [read $file]
            close $file
            if {[regexp "module +[dict get $::viv top]\\M" $text] && [regexp "\\m${bus}_araddr\\M" $text]} {
                return $bus
            }
        }
        return {}
    }
    proc associate_bus_interfaces {args} {
        parse ipx::associate_bus_interfaces {-busif value -clock {ap_clk}} $args
    }
    proc create_xgui_files {args} { parse ipx::create_xgui_files {} $args }
    proc update_checksums {args} { parse ipx::update_checksums {} $args }
    proc save_core {args} {
        parse ipx::save_core {} $args
        set core [dict get $::viv core]
        set file [open [file join [dict get $core folder] component.xml] w]
        puts $file [join [list [dict get $core vendor] [dict get $core library] [dict get $core name] \
            [dict get $core version]] :]
        close $file
    }
}

proc get_runs {args} {
    set run [positional get_runs [parse get_runs {} $args] 1]
    if {$run ni {synth_1 impl_1}} {
        error "get_runs: no run '$run'"
    }
    return @run.$run
}
proc launch_runs {args} {
    set call [parse launch_runs {-to_step write_bitstream -jobs value} $args]
    set run [positional launch_runs $call 1]
    get_runs $run
    if {![string match *_wrapper [dict get $::viv top]]} {
        error "launch_runs: the top must be the block design's wrapper, not '[dict get $::viv top]'"
    }
    if {[dict exists $call -to_step]} {
        set folder [file join [dict get $::viv folder] [dict get $::viv name].runs $run]
        file mkdir $folder
        close [open [file join $folder [dict get $::viv top].bit] w]
    }
}
proc wait_on_run {args} { get_runs [positional wait_on_run [parse wait_on_run {} $args] 1] }
proc open_run {args} {
    positional open_run [parse open_run {} $args] 1
    dict set ::viv impl 1
}
proc report {command arguments} {
    set call [parse $command {-file value -hierarchical flag} $arguments]
    if {![dict get $::viv impl]} {
        error "$command: open_run first"
    }
    close [open [dict get $call -file] w]
}
proc report_timing_summary {args} { report report_timing_summary $args }
proc report_utilization {args} { report report_utilization $args }
proc report_clocks {args} { report report_clocks $args }
proc write_hw_platform {args} {
    set call [parse write_hw_platform {-fixed flag -include_bit flag -force flag -file value} $args]
    close [open [dict get $call -file] w]
}
