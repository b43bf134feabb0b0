"""Teachers of recipes beside the fixed networks of `quant.training.distillation`."""
