//! The code that `wit-bindgen` generates from `wit/v0.1`: the host's interfaces, and one module per
//! hook that a component can export.
//!
//! The hooks are separate so that a component has exactly the exports that its author asked for:
//! the description of an export is linked only where [`export!`](crate::export!) is expanded. The
//! linker removes the imports that a component does not call.

wit_bindgen::generate!({
    inline: "
        package modelzoo:guest;
        world imports {
            import modelzoo:source/log@0.1.0;
            import modelzoo:source/fetch@0.1.0;
            import modelzoo:source/artifacts@0.1.0;
            import modelzoo:source/deployment@0.1.0;
        }
    ",
    path: "../wit/v0.1",
    generate_all,
    generate_unused_types: true,
});

/// The export of `downloader`.
pub mod download {
    wit_bindgen::generate!({
        inline: "
            package modelzoo:guest;
            world download-hook {
                export modelzoo:source/downloader@0.1.0;
            }
        ",
        path: "../wit/v0.1",
        with: {
            "modelzoo:source/types@0.1.0": crate::bindings::modelzoo::source::types,
            "modelzoo:source/downloader@0.1.0": generate,
        },
        pub_export_macro: true,
    });
}

/// The export of `loader`.
pub mod load {
    wit_bindgen::generate!({
        inline: "
            package modelzoo:guest;
            world load-hook {
                export modelzoo:source/loader@0.1.0;
            }
        ",
        path: "../wit/v0.1",
        with: {
            "modelzoo:source/types@0.1.0": crate::bindings::modelzoo::source::types,
            "modelzoo:source/deployment@0.1.0": crate::bindings::modelzoo::source::deployment,
            "modelzoo:source/loader@0.1.0": generate,
        },
        pub_export_macro: true,
    });
}
