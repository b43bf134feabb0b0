# Package SystemVerilog as an IP-XACT core in build/ip: a unit, or the divider of its reads between two memory ports.

# Package `sources` with the module `top` as build/ip/<name>; every AXI interface in `buses` must be there.
proc package_core {name top sources buses} {
    global root part
    create_project -force package_$name [file join $root build package_$name] -part $part
    foreach path $sources {
        add_files -norecurse $path
    }
    set_property top $top [current_fileset]
    update_compile_order -fileset sources_1
    ipx::package_project -root_dir [file join $root build ip $name] -vendor cascade -library rtl \
        -taxonomy /UserIP -import_files -force
    set core [ipx::current_core]
    set_property name $top $core
    set_property version 1.0 $core
    foreach bus $buses {
        if {![llength [ipx::get_bus_interfaces $bus -of_objects $core]]} {
            error "the packager found no AXI interface '$bus' on $top"
        }
        ipx::associate_bus_interfaces -busif $bus -clock ap_clk $core
    }
    ipx::create_xgui_files $core
    ipx::update_checksums $core
    ipx::save_core $core
    close_project
}

# Package the divider for the width of a unit's bus and return the core's folder. The width is written into the source:
# those of its ports follow from it.
proc package_read_split {unit} {
    global root unit_$unit
    array set this [array get unit_$unit]
    set sources {}
    foreach path $this(rtl_sources) {
        set file [file join $root $path]
        switch -- [file tail $path] {
            cascade_pkg.sv - cascade_ram.sv - cascade_fifo.sv { lappend sources $file }
            cascade_read_split.sv { set split $file }
        }
    }
    set channel [open $split]
    set text [read $channel]
    close $channel
    if {![regsub {BusBits = 256} $text "BusBits = $this(bus_bits)" text]} {
        error "$split names no width of its bus"
    }
    set folder [file join $root build ip ${unit}_split]
    file mkdir $folder
    set file [file join $root build cascade_read_split.sv]
    set channel [open $file w]
    puts -nonewline $channel $text
    close $channel
    package_core ${unit}_split cascade_read_split [concat $sources $file] {s_axi m_axi_even m_axi_odd}
    return $folder
}
