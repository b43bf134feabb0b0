# Vivado: package the SystemVerilog of every unit as an IP-XACT core in build/ip/<unit>_rtl.
# vivado -mode batch -source package_rtl.tcl

set scripts [file dirname [file normalize [info script]]]
set root    [file dirname $scripts]
source [file join $scripts design.tcl]

proc package_unit {unit} {
    global root part unit_$unit
    array set this [array get unit_$unit]
    create_project -force package_$unit [file join $root build package_$unit] -part $part
    foreach path $this(rtl_sources) {
        add_files -norecurse [file join $root $path]
    }
    set_property top $this(top) [current_fileset]
    update_compile_order -fileset sources_1
    ipx::package_project -root_dir [file join $root build ip ${unit}_rtl] -vendor cascade -library rtl \
        -taxonomy /UserIP -import_files -force
    set core [ipx::current_core]
    set_property name $this(top) $core
    set_property version 1.0 $core
    foreach bus {s_axi_control m_axi_gmem0 m_axi_gmem1} {
        if {![llength [ipx::get_bus_interfaces $bus -of_objects $core]]} {
            error "the packager found no AXI interface '$bus' on $this(top)"
        }
        ipx::associate_bus_interfaces -busif $bus -clock ap_clk $core
    }
    ipx::create_xgui_files $core
    ipx::update_checksums $core
    ipx::save_core $core
    close_project
}

if {[catch {
    file mkdir [file join $root build ip]
    foreach unit $units {
        package_unit $unit
    }
} message]} {
    puts stderr "ERROR: packaging the RTL failed: $message"
    exit 1
}
exit 0
