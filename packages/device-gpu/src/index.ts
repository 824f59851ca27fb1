/** The package of Troupe's GPU device. It exports nothing yet. */
export {};
