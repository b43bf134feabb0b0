"""One file per board; `toolflow.plan.boards` reads them."""
