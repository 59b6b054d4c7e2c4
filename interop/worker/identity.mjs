// The secret of an identity for tests. Everybody knows it: deploy nothing with it.
export const identity =
  'hoverboard:1:' +
  'CiQIARIgbnoc3Smwt4_ROvTFWY_v9O8qlxZuPKby5Pv8zYBQW_ESIAMDAwMDAwMDAwMDAwMDAwMDAwMD' +
  'AwMDAwMDAwMDAwMDGkBUmt4f3TpZK1Ql2cdH2AnlIA7rRorVrQlE45qfAbiMC7kSt8aHN2tq0lus6vad' +
  'X4zXW-AWwE38NEiTB_dZHbwB'
