"""One file per board; `toolflow.plan.boards.board` reads them."""
