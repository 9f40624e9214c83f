"""What Shipway remembers of its runs (idea 5). May import specs and errors; knows no backend and no tracker."""
